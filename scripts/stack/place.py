"""Where a stack lives: a short private folder outside the checkout, and ``.stack`` inside it."""

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from base64 import b64encode
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Final, Self

from scripts.stack.errors import AlreadyRunning, StackError

# System users cannot enter a 0700 checkout, and socket paths are limited to 107 bytes.
ROOT: Final = Path("/var/tmp")  # noqa: S108  (its folder is checked to be ours)
CHECKOUT: Final = Path(__file__).resolve().parents[2]
THROWAWAY_PREFIX: Final = "t-"
LOCK_ATTEMPTS: Final = 6
SECRET_NAMES: Final = (
    *("superuser", "owner", "app", "redis", "rabbitmq", "jwt", "client_key"),
    *("blind_index", "audit_seal", "idempotency", "bureau", "monitor"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """
    Keys for PANs by their ids, in base64; the active one encrypts.

    It is not settled while somebody may still encrypt with the one that was active before.
    """

    keys: dict[str, str] = field(repr=False)
    active: str
    is_settled: bool = True

    @property
    def newest(self) -> str:
        """Return the id of the key that was added last."""
        return max(self.keys, key=int)

    def with_new(self) -> "Keyring":
        """Return a ring with one more key, which nobody encrypts with yet."""
        return replace(self, keys={**self.keys, str(int(self.newest) + 1): _new_key()})

    def without(self, key_id: str) -> "Keyring":
        """Return a ring that lacks a key."""
        return replace(self, keys={name: key for name, key in self.keys.items() if name != key_id})


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """
    Who is told of traces and of errors.

    ``traces`` is a collector's address, or ``1`` for the stack's own; ``sentry_dsn`` a project's.
    """

    traces: str = ""
    sentry_dsn: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"|1|https?://[^\s/]+/?", self.traces):
            raise StackError("TRACES is 1, or a collector's address such as http://127.0.0.1:4318")

    @property
    def keeps_traces(self) -> bool:
        """Return whether the stack collects its traces itself."""
        return self.traces == "1"


NOBODY: Final = Watching()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folders and private files of one stack."""

    home: Path
    throwaway: bool

    @classmethod
    def of_checkout(cls, checkout: Path = CHECKOUT) -> Self:
        """Return the place of a checkout: always the same, and nobody else's."""
        name = hashlib.sha256(f"{os.getuid()}:{checkout.resolve()}".encode()).hexdigest()[:8]
        return cls(home=user_folder() / name, throwaway=False)

    @classmethod
    def temporary(cls) -> Self:
        """Return a new place that is deleted when its stack stops."""
        home = Path(tempfile.mkdtemp(prefix=THROWAWAY_PREFIX, dir=user_folder()))
        return cls(home=home, throwaway=True)

    @property
    def stack_id(self) -> str:
        """Return the marker by which this stack's processes are known."""
        return f"ecs-{os.getuid()}-{self.home.name}"

    @property
    def seed(self) -> int:
        """Return a number that spreads stacks over the free ports."""
        return int(hashlib.sha256(str(self.home).encode()).hexdigest()[:8], 16)

    @property
    def logs(self) -> Path:
        """Return the folder of one log file per program."""
        return self.home / "logs"

    @property
    def mail(self) -> Path:
        """Return the folder of the mails that the stack has sent."""
        return self.home / "mail"

    @property
    def traces(self) -> Path:
        """Return the folder of the traces that the stack keeps itself."""
        return self.home / "traces"

    def make(self) -> None:
        """Create the folder: others may pass through, for PostgreSQL's user, but not look."""
        self.home.mkdir(mode=0o711, exist_ok=True)
        self.home.chmod(0o711)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def folder(self, name: str) -> Path:
        """Return a private folder inside, created when missing."""
        folder = self.home / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def write(self, name: str, content: str) -> Path:
        """Write a file that only its owner reads."""
        return write_private(self.home / name, content)

    def secrets(self) -> dict[str, str]:
        """Return the stack's passwords and keys, made at random the first time."""
        file = self.home / "secrets.json"
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if not set(SECRET_NAMES) <= set(known):
            known = {name: secrets.token_hex(32) for name in SECRET_NAMES} | known
            write_private(file, json.dumps(known))
        return known

    def keyring(self) -> Keyring:
        """Return the keys for PANs, the first made at random."""
        file = self.home / "keyring.json"
        if not file.exists():
            self.keep(Keyring(keys={"1": _new_key()}, active="1"))
        return Keyring(**json.loads(file.read_text()))

    def keep(self, keyring: Keyring) -> None:
        """Write the keys for PANs: whoever starts from now on has them."""
        write_private(self.home / "keyring.json", json.dumps(asdict(keyring)))

    def watching(self) -> Watching:
        """Return who is told of traces and errors."""
        file = self.home / "watching.json"
        return Watching(**json.loads(file.read_text())) if file.exists() else NOBODY

    def tell(self, watching: Watching) -> None:
        """Write who is told of traces and errors: whoever starts from now on tells them."""
        write_private(self.home / "watching.json", json.dumps(asdict(watching)))

    def lock(self) -> IO[str]:
        """
        Return the open lock of this place, which says who runs the stack.

        Raises:
            AlreadyRunning: somebody else holds it.
        """
        file = (self.home / "lock").open("a+")
        if not _locked(file):
            file.close()
            raise AlreadyRunning(f"This stack is already running (process {self.keeper()}).")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def keeper(self) -> int | None:
        """Return the process that runs this stack, or None when nobody does."""
        try:
            with (self.home / "lock").open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int((self.home / "lock").read_text() or 0) or None
        except FileNotFoundError:
            return None
        return None

    def remove(self) -> None:
        """Delete everything a throw-away stack has left."""
        if self.throwaway:
            shutil.rmtree(self.home, ignore_errors=True)


def _new_key() -> str:
    return b64encode(secrets.token_bytes(32)).decode()


def _locked(file: IO[str]) -> bool:
    """Try for a moment: whoever only asks for the keeper holds the lock just as long."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def user_folder() -> Path:
    """Return the folder of this user's stacks, after making sure that it is his."""
    folder = ROOT / f"ecs-{os.getuid()}"
    folder.mkdir(mode=0o711, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise StackError(f"{folder} belongs to somebody else; remove it first.")
    folder.chmod(0o711)
    return folder


def abandoned() -> list[Place]:
    """Return throw-away places whose keeper died without cleaning up."""
    found = [
        Place(home=home, throwaway=True) for home in user_folder().glob(f"{THROWAWAY_PREFIX}*/")
    ]
    return [place for place in found if (place.home / "lock").exists() and not place.keeper()]


def write_private(file: Path, content: str) -> Path:
    """Replace ``file`` in one step; only its owner reads it."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(content)
    draft.replace(file)
    return file
