"""System packages the stack stands on: found, installed when we may, or named."""

import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.stack.console import Say
from scripts.stack.errors import StackError
from scripts.stack.place import user_folder

RABBITMQ: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
POLICY: Final = Path("/usr/sbin/policy-rc.d")
OUR_POLICY: Final = (
    "#!/bin/sh\n# While ECS installs packages: start none of their services.\nexit 101\n"
)
SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POSTGRES_MAJOR_MIN: Final = 15


def find(name: str) -> str | None:
    """Return the path of a system program, also of those outside an ordinary user's PATH."""
    if name == "rabbitmq-server":
        return RABBITMQ if Path(RABBITMQ).exists() else None
    return shutil.which(name, path=SEARCH_PATH)


def path_of(name: str) -> str:
    """Return the path of a system program that must be there."""
    found = find(name)
    if found is None:
        raise StackError(f"The program {name} is missing.")
    return found


def postgres_folder() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    folders += [Path(found).resolve().parent for found in [find("initdb")] if found]
    new_enough = [folder for folder in folders if _major(folder) >= POSTGRES_MAJOR_MIN]
    return max(new_enough, key=_major, default=None)


def postgres_program(name: str) -> str:
    """Return the path of one of PostgreSQL's own programs."""
    folder = postgres_folder()
    if folder is None:
        raise StackError(f"PostgreSQL {POSTGRES_MAJOR_MIN} or newer is missing.")
    return str(folder / name)


def postgres_user() -> pwd.struct_passwd | None:
    """Return the user PostgreSQL runs as: root hands over, everybody else runs it himself."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise StackError(
            "PostgreSQL refuses to run as root and there is no user 'postgres': "
            "run `apt-get install postgresql`, or start the stack as an ordinary user."
        ) from None


def _user_exists(name: str) -> bool:
    return any(user.pw_name == name for user in pwd.getpwall())


def missing_packages(*, with_application: bool) -> list[str]:
    """Return the Debian packages whose programs are not there."""
    found: dict[str, object] = {
        "postgresql": postgres_folder() and (os.getuid() != 0 or _user_exists("postgres")),
        "redis-server": find("redis-server"),
        "util-linux": find("setpriv"),
    }
    if with_application:
        found |= {
            "curl": find("curl"),  # The README's journey speaks it.
            "nginx": find("nginx"),
            "rabbitmq-server": find("rabbitmq-server") and find("epmd"),
        }
    return [package for package, program in found.items() if not program]


def missing_monitoring() -> list[str]:
    """Return the Debian packages of Prometheus whose programs are not there."""
    programs = {
        "prometheus": find("prometheus") and find("promtool"),
        "prometheus-postgres-exporter": find("prometheus-postgres-exporter"),
    }
    return [package for package, program in programs.items() if not program]


def ensure_packages(say: Say, *, with_application: bool) -> None:
    """
    Install what is missing when we are root and apt is there.

    Raises:
        StackError: it may not be installed from here; the message names the packages.
    """
    _ensure(say, lambda: missing_packages(with_application=with_application))


def ensure_monitoring(say: Say) -> None:
    """
    Install Prometheus like the rest; see ``ensure_packages``.

    Raises:
        StackError: it may not be installed from here; the message names the packages.
    """
    _ensure(say, missing_monitoring)


def _ensure(say: Say, missing_now: Callable[[], list[str]]) -> None:
    missing = missing_now()
    if not missing:
        return
    if os.getuid() != 0 or not find("apt-get"):
        raise StackError(
            f"Missing: {', '.join(missing)}.\n"
            f"Install with:  sudo apt-get install -y {' '.join(missing)}\n"
            "or use containers:  docker compose -f docker-compose.dev.yml up"
        )
    say(f"installing {', '.join(missing)} (apt)")
    with _one_at_a_time():
        _install(missing_now())  # Another stack of ours may have brought them while we waited.
    if left := missing_now():
        raise StackError(f"apt-get did not bring {', '.join(left)}.")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (user_folder() / "packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(packages: list[str]) -> None:
    if not packages:
        return
    with _services_held_back():
        _apt("update")
        _apt("install", "-y", "--no-install-recommends", *packages)


def _apt(*words: str) -> None:
    done = subprocess.run(  # noqa: S603  (our own words)
        [path_of("apt-get"), "-qq", "-o", "DPkg::Lock::Timeout=300", *words],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode:
        raise StackError(f"apt-get {words[0]} failed:\n{done.stderr.strip()[-2000:]}")


@contextmanager
def _services_held_back() -> Iterator[None]:
    """Keep Debian from starting the services it installs: ours are private ones."""
    if POLICY.exists() and POLICY.read_text() != OUR_POLICY:
        yield
        return
    POLICY.write_text(OUR_POLICY)  # Also over one of ours that a kill has left behind.
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _major(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0
