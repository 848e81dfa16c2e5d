"""Finding and ending the stack's processes: by marker and folder, never by name."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

MARKER: Final = "STACK_ID"
PROGRAM: Final = "STACK_PROGRAM"
TITLED: Final = frozenset({"nginx", "postgres"})
POLL_SECONDS: Final = 0.05


def members(stack_id: str, home: Path, *, program: str | None = None) -> list[int]:
    """
    Return the processes of a stack, or of one of its programs.

    Nginx and PostgreSQL write their titles over the environment that Linux shows, so they (and
    nobody else: a shell may stand there to read the logs) are recognised by their folder.
    """
    folder = home / program if program else home
    wanted = {f"{MARKER}={stack_id}"} | ({f"{PROGRAM}={program}"} if program else set())
    return [pid for pid in _pids() if pid != os.getpid() and _belongs(pid, wanted, folder)]


def end(find: Callable[[], Iterable[int]], *, patience_seconds: float) -> None:
    """Ask every process found to stop, and kill what is left when patience ends."""
    deadline = time.monotonic() + patience_seconds
    for pid in find():
        send(pid, signal.SIGTERM)
    while left := list(find()):
        if time.monotonic() > deadline:
            for pid in left:
                send(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return False when the process is gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _belongs(pid: int, wanted: set[str], folder: Path) -> bool:
    process = Path("/proc") / str(pid)
    try:
        if (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
            return False
        environment = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        here = (process / "cwd").readlink()
        titled = (process / "exe").readlink().name.split()[0] in TITLED
    except OSError:  # Gone meanwhile, or somebody else's.
        return False
    return wanted <= set(environment) or (titled and folder in (here, *here.parents))
