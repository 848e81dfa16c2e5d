"""What supervisor starts: clean up after the former self, wait, then become the program."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from scripts.stack import processes, system
from scripts.stack.configuration import as_postgres
from scripts.stack.place import Place
from scripts.stack.ports import recorded_block
from scripts.stack.programs import (
    Layout,
    Program,
    all_programs,
    clean_environment,
    working_folder,
)

POLL_SECONDS: Final = 0.1


def main() -> None:
    """Become the program named on the command line: ``HOME throwaway|kept NAME``."""
    home, kind, name = sys.argv[1:4]
    place = Place(home=Path(home), throwaway=kind == "throwaway")
    layout = Layout(place=place, ports=recorded_block(place.home))
    program = all_programs(layout)[name]
    kill_former_self(place, name)
    wait_for_needs(layout, program)
    become(layout, program)


def kill_former_self(place: Place, name: str) -> None:
    """Kill what a killed program left behind; it may hold the port or the data."""
    while left := processes.members(place.stack_id, place.home, program=name):
        for pid in left:
            processes.send(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def wait_for_needs(layout: Layout, program: Program) -> None:
    """Wait until what the program needs answers; give up when supervisor is gone."""
    parent = os.getppid()
    while not all(layout.is_answering(need) for need in program.needs):
        if os.getppid() != parent:
            sys.exit(1)
        time.sleep(POLL_SECONDS)


def become(layout: Layout, program: Program) -> None:
    """Turn this process into the program, which dies with supervisor."""
    os.chdir(working_folder(layout, program))
    setpriv = [system.path_of("setpriv"), f"--pdeathsig={program.stop_signal}"]
    identity = as_postgres()[1:] if program.as_postgres else []
    command = [*setpriv, *identity, "--", *program.command]
    os.execve(command[0], command, clean_environment(layout, program))  # noqa: S606  (our own words)


if __name__ == "__main__":
    main()
