"""Supervisor: its configuration, its process, and the questions we ask it over its socket."""

import http.client
import os
import shlex
import socket
import subprocess
import sys
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts.stack import system
from scripts.stack.errors import StackError
from scripts.stack.place import CHECKOUT, Place
from scripts.stack.programs import Group, Program

SOCKET: Final = "supervisor.sock"
# Stopped in reverse, one group after the other, so that clients go before what they use.
PRIORITIES: Final[dict[Group, int]] = {
    "services": 10,
    "application": 20,
    "door": 30,
    "monitoring": 40,
}

HEAD: Final = """\
[supervisord]
nodaemon = true
logfile = {logs}/supervisord.log
logfile_maxbytes = 5MB
pidfile = {home}/supervisord.pid
childlogdir = {logs}
directory = {checkout}
umask = 077
{user}
[unix_http_server]
file = {home}/supervisor.sock
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
GROUP: Final = """
[group:{name}]
programs = {programs}
priority = {priority}
"""
# Longer than any program is given to stop.
ANSWER_SECONDS_MAX: Final = 180
# A new life is tried for ever: the launcher waits for what is missing, so a loop is slow.
PROGRAM: Final = """
[program:{name}]
command = {python} -m scripts.stack.launch {home} {kind} {name}
directory = {checkout}
autostart = {autostart}
autorestart = true
startsecs = 1
startretries = 100000
stopsignal = {stop_signal}
stopwaitsecs = {stop_seconds}
killasgroup = true
redirect_stderr = true
stdout_logfile = {logs}/{name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What supervisor knows about one program."""

    name: str
    state: str
    pid: int
    description: str


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS_MAX)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_SECONDS_MAX)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            raise


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _Connection(self._path)
        self._connection = host, connection  # Where ``close`` looks for what it is to close.
        return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """The supervisor of one place, running or not."""

    place: Place

    def configure(self, programs: dict[str, Program]) -> None:
        """Write the configuration. Services start by themselves, the rest when told to."""
        groups = [_group_section(group, programs) for group in PRIORITIES]
        sections = [_program_section(self.place, program) for program in programs.values()]
        head = HEAD.format(
            home=self.place.home,
            logs=self.place.logs,
            checkout=_literal(CHECKOUT),
            user="user = root\n" if os.getuid() == 0 else "",
        )
        self.place.write("supervisord.conf", "".join([head, *groups, *sections]))

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start supervisor; it stops everything when this process dies."""
        (self.place.home / SOCKET).unlink(missing_ok=True)
        with (self.place.logs / "supervisor-output.log").open("ab") as output:
            return subprocess.Popen(  # noqa: S603  (our own words)
                [
                    *(system.path_of("setpriv"), "--pdeathsig=TERM", "--", sys.executable),
                    *("-m", "supervisor.supervisord", "-n"),
                    *("-c", str(self.place.home / "supervisord.conf")),
                ],
                cwd=CHECKOUT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def states(self) -> list[State]:
        """Return every program's state, or raise ``StackError`` when there is none to be had."""
        try:
            entries = self._call("getAllProcessInfo")
        except (OSError, xmlrpc.client.Fault):
            raise StackError("The stack is starting or stopping; ask again in a moment.") from None
        return [
            State(
                name=entry["name"],
                state=entry["statename"],
                pid=entry["pid"],
                description=entry["description"],
            )
            for entry in entries
        ]

    def answers(self) -> bool:
        """Return whether supervisor can be asked already."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except OSError:
            return False

    def start(self, program: Program, *, wait: bool = True) -> None:
        """Start one program; nothing happens when it runs already."""
        self._unless("ALREADY_STARTED", "startProcess", f"{program.group}:{program.name}", wait)

    def stop(self, program: Program) -> None:
        """Stop one program and wait for its end; supervisor will not restart it."""
        self._unless("NOT_RUNNING", "stopProcess", f"{program.group}:{program.name}", True)  # noqa: FBT003  (positional in XML-RPC)

    def _unless(self, harmless: str, method: str, *arguments: Any) -> None:
        try:
            self._call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            if harmless not in fault.faultString:
                raise StackError(f"{method} {arguments[0]}: {fault.faultString}") from None

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = _Transport(self.place.home / SOCKET)
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:{system.SEARCH_PATH}",
            "HOME": str(self.place.home),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "STACK_ID": self.place.stack_id,
            "STACK_PROGRAM": "supervisor",
        }


def _group_section(group: Group, programs: dict[str, Program]) -> str:
    names = [program.name for program in programs.values() if program.group == group]
    if not names:
        return ""
    return GROUP.format(name=group, programs=",".join(names), priority=PRIORITIES[group])


def _literal(path: str | Path) -> str:
    """Return a path as supervisor has to be told it: it expands what follows a per cent sign."""
    return str(path).replace("%", "%%")


def _program_section(place: Place, program: Program) -> str:
    return PROGRAM.format(
        name=program.name,
        python=shlex.quote(_literal(sys.executable)),
        home=place.home,
        kind="throwaway" if place.throwaway else "kept",
        checkout=_literal(CHECKOUT),
        autostart="true" if program.group == "services" else "false",
        stop_signal=program.stop_signal,
        stop_seconds=program.stop_seconds,
        logs=place.logs,
    )
