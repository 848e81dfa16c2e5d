"""A whole stack: started, asked, disturbed and stopped from one object."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from scripts.stack import answers, configuration, preparation, processes, settings, system
from scripts.stack.console import Say, silence
from scripts.stack.errors import StackError
from scripts.stack.place import CHECKOUT, NOBODY, Place, Watching, abandoned, write_private
from scripts.stack.ports import claim_block
from scripts.stack.programs import (
    API_NAMES,
    MONITORING_NAMES,
    TRACE_SINK,
    Layout,
    Program,
    all_programs,
    program_names,
)
from scripts.stack.supervision import State, Supervisor

EVERYTHING: Final = program_names()
SERVICES_ONLY: Final = ("postgres", "redis")
BROKER_ONLY: Final = ("epmd", "rabbitmq")

STOP_SECONDS: Final = 27
READY_SECONDS: Final = 90
START_SECONDS: Final = 60


class Stack:
    """
    One private stack.

    ``parts`` are the programs to run. A throw-away stack has its own random place, trades
    durability for speed and leaves nothing behind. ``watched`` says who is told of traces and
    errors. Use it in a ``with`` block, or call
    ``start()`` and ``stop()``.
    """

    def __init__(
        self,
        *,
        place: Place | None = None,
        parts: Collection[str] = EVERYTHING,
        throwaway: bool = False,
        say: Say = silence,
        publish_to: Path | None = None,
        watched: Watching = NOBODY,
    ) -> None:
        self.place = place or (Place.temporary() if throwaway else Place.of_checkout())
        self.parts = tuple(parts)
        self.public = publish_to or (
            self.place.home / "public" if throwaway else CHECKOUT / ".stack"
        )
        self._say = say
        self._watched = watched
        self._lock: IO[str] | None = None
        self._supervisord: subprocess.Popen[bytes] | None = None
        self._layout: Layout | None = None
        self._supervisor = Supervisor(place=self.place)

    @property
    def layout(self) -> Layout:
        """Return the stack's ports and paths."""
        if self._layout is None:
            raise StackError("The stack is not running.")
        return self._layout

    @property
    def url(self) -> str:
        """Return the address of Nginx."""
        return f"http://127.0.0.1:{self.layout.ports['http']}"

    @property
    def env(self) -> dict[str, str]:
        """Return the application's settings."""
        return settings.application_environment(self.place, self.layout.ports)

    @property
    def superuser_url(self) -> str:
        """Return the address of the maintenance database for PostgreSQL's superuser."""
        return preparation.superuser_url(self.layout)

    def __enter__(self) -> Self:
        """Start, or clean up and raise."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """
        Start every part and return when all of them answer.

        Raises:
            AlreadyRunning: another process runs this stack.
            StackError: something is missing or did not start; nothing is left running.
        """
        system.ensure_packages(self._say, with_application="rabbitmq" in self.parts)
        self.place.make()
        self._lock = self.place.lock()
        self.place.tell(self._watched)
        (self.public / "url").unlink(missing_ok=True)  # Left by a stack that was killed.
        try:
            self._clear_leftovers()
            self._start_services()
            self._prepare()
            self._start_application()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every part, sweep up whatever is left, and forget a throw-away stack's data."""
        if self._lock is None:
            return
        if self._supervisord is not None:
            self._stop_supervisord(self._supervisord)
        processes.end(self.members, patience_seconds=1)
        for name in ("url", "prometheus"):
            (self.public / name).unlink(missing_ok=True)
        self._lock.close()
        self._lock = self._supervisord = self._layout = None
        self.place.remove()

    def wait_for_end(self, *, seconds: float | None = None) -> bool:
        """Return True when supervisor has ended, False when ``seconds`` have passed before."""
        try:
            assert self._supervisord is not None
            self._supervisord.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def states(self) -> list[State]:
        """Return what supervisor knows of each program."""
        return self._supervisor.states()

    def pid(self, program: str) -> int:
        """Return the process of a program, 0 while it has none."""
        return next(state.pid for state in self.states() if state.name == program)

    def members(self) -> list[int]:
        """Return every process of this stack, supervisor included."""
        return processes.members(self.place.stack_id, self.place.home)

    def kill(self, program: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a program's main process; return which process it was."""
        pid = self.pid(program)
        if pid:
            processes.send(pid, number)
        return pid

    def stop_program(self, program: str) -> None:
        """Stop one program and keep it stopped."""
        self._supervisor.stop(self._programs()[program])

    def start_program(self, program: str) -> None:
        """Start one program and return when it answers."""
        self._supervisor.start(self._programs()[program])
        self.wait_for(program)

    def restart(self, program: str) -> None:
        """Stop one program and start it again."""
        self.stop_program(program)
        self.start_program(program)

    def wait_for(self, program: str, *, seconds: float = START_SECONDS) -> None:
        """Return when a program runs and answers."""
        answers.wait_until(
            lambda: self._is_up(program), seconds=seconds, what=f"An answer of {program}"
        )

    def wait_for_restart(self, program: str, *, old_pid: int, seconds: float = 30) -> int:
        """Return the new process of a program that was killed, once it answers."""
        answers.wait_until(
            lambda: self.pid(program) not in {0, old_pid},
            seconds=seconds,
            what=f"A restart of {program}",
        )
        self.wait_for(program, seconds=seconds)
        return self.pid(program)

    def wait_until_ready(self, *, seconds: float = READY_SECONDS) -> None:
        """Return when ``GET /ready`` says ``ready`` through Nginx, whoever of the API answers."""
        ports = [self.layout.ports[name] for name in API_NAMES if name in self.parts]
        urls = [*(f"http://127.0.0.1:{port}" for port in ports), self.url]
        answers.wait_until(
            lambda: self._alive() and {answers.readiness(url) for url in urls} == {"ready"},
            seconds=seconds,
            what=f"`ready` from {self.url}/ready (logs: {self.place.logs})",
        )

    def _is_up(self, program: str) -> bool:
        state = next(state for state in self.states() if state.name == program)
        return state.state == "RUNNING" and self.layout.is_answering(program)

    def _programs(self) -> dict[str, Program]:
        programs = all_programs(self.layout)
        watched = MONITORING_NAMES if "nginx" in self.parts else ()
        sink = (TRACE_SINK,) if self.place.watching().keeps_traces else ()
        return {name: programs[name] for name in programs if name in {*self.parts, *watched, *sink}}

    def _clear_leftovers(self) -> None:
        """End what a killed keeper has left, here and in abandoned throw-away places."""
        processes.end(self.members, patience_seconds=10)
        for place in abandoned() if self.place.throwaway else ():
            forgotten = Stack(place=place)
            processes.end(forgotten.members, patience_seconds=1)
            place.remove()

    def _start_services(self) -> None:
        ports = claim_block(self.place.home, seed=self.place.seed)
        self._layout = Layout(place=self.place, ports=ports)
        for name in self._programs():
            self.place.folder(name)
        self._say(f"writing configuration, ports {ports['http']}-{ports['tools-last']}")
        configuration.write_all(self._layout)
        self._supervisor.configure(self._programs())
        self._say("starting services")
        self._supervisord = self._supervisor.spawn()
        self._wait_for_service(*(name for name in SERVICES_ONLY if name in self.parts))

    def _prepare(self) -> None:
        self._publish()
        if "postgres" in self.parts:
            preparation.create_database(self.layout)
        if "api-1" not in self.parts:
            return
        self._say("migrating the database")
        preparation.migrate(self.env)
        self._say("bringing the demo people up to date")
        preparation.seed(self.env, out=self.public / "demo.json")

    def _start_application(self) -> None:
        programs = self._programs().values()
        later = [item for item in programs if item.group in {"application", "door"}]
        self._wait_for_service(*(name for name in self.parts if name == "epmd"))
        if later:
            self._say("starting the API, the workers and Nginx")
        for program in later:
            self._supervisor.start(program, wait=False)
        self._wait_for_service(*(name for name in self.parts if name == "rabbitmq"))
        if "emotions-consumer" in self.parts:
            preparation.declare_streams(self.env)
        if "nginx" in self.parts:
            self._say("waiting until /ready says ready")
            self.wait_until_ready()
        self._open()

    def _wait_for_service(self, *names: str) -> None:
        for name in names:
            answers.wait_until(
                lambda name=name: self._alive() and self.layout.is_answering(name),  # type: ignore[misc]  # mypy cannot infer it
                seconds=START_SECONDS,
                what=f"An answer of {name} (log: {self.place.logs / name}.log)",
            )

    def _alive(self) -> bool:
        if self._supervisord is not None and self._supervisord.poll() is not None:
            raise StackError(f"Supervisor ended; see {self.place.logs}/supervisord.log.")
        return True

    def _publish(self) -> None:
        """Leave the settings where other programs look for them."""
        self.public.mkdir(mode=0o700, exist_ok=True)
        self.public.chmod(0o700)
        write_private(self.public / "env", settings.as_file(self.env))
        with contextlib.suppress(FileExistsError):
            (self.public / "logs").symlink_to(self.place.logs)
        with contextlib.suppress(FileExistsError):
            (self.public / "mail").symlink_to(self.place.mail)
        with contextlib.suppress(FileExistsError):
            (self.public / "traces").symlink_to(self.place.traces)

    def _open(self) -> None:
        """Leave the address, last: it says that the stack is ready."""
        write_private(self.public / "url", self.url + "\n")

    def _stop_supervisord(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        process.terminate()
        try:
            process.wait(deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
