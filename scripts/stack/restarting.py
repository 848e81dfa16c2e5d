"""Restarts of programs while the rest goes on: one at a time, each ready before the next stops."""

import re
import time
from typing import Final

from scripts.stack import answers
from scripts.stack.console import Say
from scripts.stack.errors import StackError
from scripts.stack.programs import Layout, Program, all_programs
from scripts.stack.supervision import Supervisor

START_SECONDS: Final = 60
SERVING: Final = frozenset({"ready", "degraded"})


def restart(layout: Layout, name: str, *, say: Say) -> None:
    """
    Restart a program, or one after the other of those that share its name: ``api`` is all of them.

    Raises:
        StackError: no program is called so, or one did not come back; those behind it go on as
            they are.
    """
    supervisor = Supervisor(place=layout.place)
    for program in named(layout, name):
        started = time.monotonic()
        supervisor.stop(program)
        supervisor.start(program)
        answers.wait_until(
            lambda program=program: _serves(layout, supervisor, program),  # type: ignore[misc]  # mypy cannot infer it
            seconds=START_SECONDS,
            what=f"A new {program.name} (log: {layout.place.logs / program.name}.log)",
        )
        say(f"restarted {program.name} in {time.monotonic() - started:.1f} s")


def named(layout: Layout, name: str) -> list[Program]:
    """Return the program of this name, or all that are numbered under it."""
    programs = all_programs(layout).values()
    found = [one for one in programs if re.fullmatch(rf"{re.escape(name)}(-[0-9]+)?", one.name)]
    if not found:
        known = ", ".join(program.name for program in programs)
        raise StackError(f"There is no program {name}; there are {known}.")
    return found


def _serves(layout: Layout, supervisor: Supervisor, program: Program) -> bool:
    state = next(state for state in supervisor.states() if state.name == program.name)
    if state.state != "RUNNING":
        return False
    if re.fullmatch(r"api-[0-9]+", program.name):
        url = f"http://127.0.0.1:{layout.ports[program.name]}"
        return answers.readiness(url) in SERVING
    return layout.is_answering(program.name)
