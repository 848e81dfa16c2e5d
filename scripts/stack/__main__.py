"""The command line: ``python -m scripts.stack {run|up|down|status|restart|logs|psql|...}``."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from scripts.stack import answers, encryption_keys, monitoring, restarting, system
from scripts.stack.banner import LAST_WORDS, banner
from scripts.stack.console import progress, show
from scripts.stack.errors import StackError
from scripts.stack.place import CHECKOUT, Place, Watching
from scripts.stack.ports import recorded_block
from scripts.stack.preparation import superuser_url
from scripts.stack.programs import MONITORING_NAMES, TRACE_SINK, Layout
from scripts.stack.settings import DATABASE
from scripts.stack.stack import Stack
from scripts.stack.supervision import State, Supervisor

DOWN_SECONDS: Final = 40
UP_SECONDS: Final = 300
BACKGROUND: Final = "--background"
READY: Final = "ready"
RUNNING: Final = "RUNNING"


class Interrupted(BaseException):
    """Somebody asked the stack to stop. Not an ``Exception``: nobody may swallow it."""


def main() -> int:
    """Do what the command line says and return the exit code."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # The caller's PostgreSQL is none of ours.
    words = sys.argv[1:]
    command = COMMANDS.get(words[0]) if words else None
    if command is None:
        show(f"usage: python -m scripts.stack {{{'|'.join(COMMANDS)}}}")
        return 2
    try:
        return command(words[1:])
    except StackError as error:
        show(f"\n{error}")
        return 1


def run(words: list[str]) -> int:
    """Run everything in the foreground until Ctrl-C or TERM."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    stack = Stack(say=progress(), watched=_given_watching())
    _refuse_a_second(stack.place)
    try:
        show("Starting the Empathic Credit System")
        stack.start()
        show(banner(stack.url, stack.public))
        if BACKGROUND not in words:
            show("Ctrl-C stops everything.")
        stack.wait_for_end()
        show("Supervisor ended unexpectedly; stopping.")
    except Interrupted:
        show("\nStopping (at most 30 s)")
        return 0
    finally:
        _ignore_further_signals()
        stack.stop()
        show("Stopped.")
    return 1


def _given_watching() -> Watching:
    """Return who is to be told of traces and errors, as it was given to make."""
    given = os.environ.get
    return Watching(traces=given("GIVEN_TRACES", ""), sentry_dsn=given("GIVEN_SENTRY_DSN", ""))


def up(_: list[str]) -> int:
    """Run everything in the background; return when it is ready."""
    place = Place.of_checkout()
    place.make()
    with _only_starter(place):
        log = place.logs / "stack.log"
        return _follow(_spawn(log), log)


def _spawn(log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603  (our own words)
            [sys.executable, "-m", "scripts.stack", "run", BACKGROUND],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def down(_: list[str]) -> int:
    """Stop what ``up`` or ``run`` has started."""
    place = Place.of_checkout()
    keeper = place.keeper()
    if keeper is None:
        show("Nothing is running.")
        return 0
    os.kill(keeper, signal.SIGTERM)
    answers.wait_until(lambda: not place.keeper(), seconds=DOWN_SECONDS, what="The end")
    show("Stopped.")
    return 0


def status(_: list[str]) -> int:
    """Show every program and what /ready says; the exit code is 0 only when all is ready."""
    return status_of(Place.of_checkout())


def status_of(place: Place) -> int:
    """
    Show how the stack of a place is, and return the exit code.

    A worker that is not there makes /ready no worse, since requests need none: it is named here.
    """
    if not place.keeper():
        show("Not running. Start with `make run` or `make up`.")
        return 3
    states = Supervisor(place=place).states()
    for state in states:
        show(f"  {state.name:<19}{state.state:<10}{state.description}")
    url = f"http://127.0.0.1:{recorded_block(place.home)['http']}"
    answer = answers.ready(url)
    show(f"  {url}/ready says: {answer.words}")
    missing = not_running(states)
    if missing:
        show(f"  Not running: {', '.join(missing)}. Start with `make restart PROGRAM=...`.")
    return 0 if answer.status == READY and not missing else 1


def not_running(states: Sequence[State]) -> list[str]:
    """Return the programs that the running stack needs and that do not run."""
    optional = {*MONITORING_NAMES, TRACE_SINK}
    return [one.name for one in states if one.state != RUNNING and one.name not in optional]


def start_monitoring(_: list[str]) -> int:
    """Start Prometheus on the running stack, and the stack before it when it does not run."""
    if not Place.of_checkout().keeper() and (failed := up([])):
        return failed
    url = monitoring.start(_running(), public=CHECKOUT / ".stack", say=progress())
    show(monitoring.words_for_user(url))
    return 0


def restart(words: list[str]) -> int:
    """Restart one program, or ``api``: all of them, one after the other, without a gap."""
    layout = _running()
    for name in words or ["api"]:
        restarting.restart(layout, name, say=progress())
    return 0


def new_encryption_key(_: list[str]) -> int:
    """Give the running stack a new key for PANs, without a gap."""
    key_id = encryption_keys.introduce(_running(), public=CHECKOUT / ".stack", say=progress())
    show(f"New PANs are encrypted with key {key_id}. Now run: make rotate-encryption")
    return 0


def drop_encryption_key(words: list[str]) -> int:
    """Forget a key for PANs on which nothing is left."""
    if len(words) != 1:
        show("Give KEY=<the id of a key for PANs>")
        return 2
    encryption_keys.drop(_running(), words[0], public=CHECKOUT / ".stack", say=progress())
    show(f"Key {words[0]} is forgotten.")
    return 0


def _running() -> Layout:
    place = Place.of_checkout()
    if not place.keeper():
        raise StackError("Not running. Start with `make run` or `make up`.")
    return Layout(place=place, ports=recorded_block(place.home))


def logs(words: list[str]) -> int:
    """Follow the logs of all programs, or of those named."""
    place = Place.of_checkout()
    folder = place.logs
    files = [folder / f"{name}.log" for name in words] or sorted(folder.glob("*.log"))
    there = [str(file) for file in files if file.exists()]
    if not there:
        raise StackError(f"There are no such logs in {folder}.")
    follow = ["-F"]
    if not place.keeper():
        show("Not running: these are the last words of last time.")
        follow = []
    os.execv(system.path_of("tail"), ["tail", "-n", "20", *follow, *there])  # noqa: S606  (our own words)


def psql(words: list[str]) -> int:
    """Open psql as the superuser; ``in NAME`` before its words means another database."""
    is_elsewhere = words[:1] == ["in"] and len(words) > 1
    database, words = (words[1], words[2:]) if is_elsewhere else (DATABASE, words)
    place = Place.of_checkout()
    layout = Layout(place=place, ports=recorded_block(place.home))
    url = superuser_url(layout, database=database)
    program = system.postgres_program("psql")
    os.execv(program, [program, url, *words])  # noqa: S606  (our own words)


@contextmanager
def _only_starter(place: Place) -> Iterator[None]:
    """Let one at a time start the stack: a second would write over what the first one says."""
    with (place.home / "starting").open("w") as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError("It is being started already: make status, make down.") from None
        _refuse_a_second(place)
        yield


def _refuse_a_second(place: Place) -> None:
    if keeper := place.keeper():
        raise StackError(f"Already running (process {keeper}): make status, make down.")


def _follow(process: subprocess.Popen[bytes], log: Path) -> int:
    """Show the background process's words until it is ready or has failed."""
    deadline = time.monotonic() + UP_SECONDS
    all_said = ""
    with log.open() as words:
        while process.poll() is None and time.monotonic() < deadline:
            said = words.read()
            all_said += said
            sys.stdout.write(said)
            sys.stdout.flush()
            if LAST_WORDS in all_said and said.endswith("\n"):
                show("Running in the background: make status, make logs, make down.")
                process.returncode = 0  # It outlives us on purpose.
                return 0
            time.sleep(answers.POLL_SECONDS)
        sys.stdout.write(words.read())
    return process.returncode or 1


def _interrupt(_: int, __: FrameType | None) -> None:
    raise Interrupted


def _ignore_further_signals() -> None:
    """Let the cleaning finish, however often Ctrl-C is pressed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


COMMANDS: Final[dict[str, Callable[[list[str]], int]]] = {
    "run": run,
    "up": up,
    "down": down,
    "status": status,
    "monitoring": start_monitoring,
    "restart": restart,
    "new-encryption-key": new_encryption_key,
    "drop-encryption-key": drop_encryption_key,
    "logs": logs,
    "psql": psql,
}

if __name__ == "__main__":
    sys.exit(main())
