"""
Send ten people through the whole journey on the running stack, and show what each got and why.

    python -m scripts.demo
    python -m scripts.demo --json
    python -m scripts.demo --documented
    python -m scripts.demo --url http://api:8000

Each run is about ten new people. What they must get is written down in ``outcomes.json``: the exit
code is 1 when somebody got something else, 2 when the demo could not go on. Three of them ask for
a loan, too; what came of that is only shown.
"""

import argparse
import asyncio
import json
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.demo.api import Access, DemoError, opened
from scripts.demo.loans import Reply, ask_for_loans
from scripts.demo.outcomes import differences, documented
from scripts.demo.report import WIDTH, summary, table, told
from scripts.demo.roles import ROLES, Role
from scripts.demo.walk import Run, Visit, visit

AT_ONCE: Final = 4  # Registering costs the API much on purpose: two processes, gently.
DIFFERENT: Final = 1
IMPOSSIBLE: Final = 2
MARK_LETTERS: Final = 12

Say = Callable[[str, str], None]


def main() -> int:
    """Read the arguments, walk, show, compare; return the exit code."""
    arguments = read_arguments()
    screen = Console(width=max(WIDTH, Console().width), highlight=False, soft_wrap=True)
    if arguments.documented:
        screen.print(table(documented()))
        return 0
    started = time.monotonic()
    try:
        access = Access.read(arguments.stack, url=arguments.url)
        visits, replies = asyncio.run(walk_all(access))
    except DemoError as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False)
        return IMPOSSIBLE
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped; the people who have registered stay.")
        return IMPOSSIBLE
    if arguments.json:
        return show_as_json(screen, visits)
    seconds = time.monotonic() - started
    shown = show_as_table(screen, visits, replies, seconds=seconds)
    for what, where in _pointers(visits, url=access.url, folder=arguments.stack):
        screen.print(f"  {what:<34}{where}", markup=False)
    return shown


def read_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one JSON line a person")
    parser.add_argument(
        "--documented", action="store_true", help="show what everybody must get; asks no stack"
    )
    parser.add_argument(
        "--stack", type=Path, default=Path(".stack"), help="where a running stack says who it is"
    )
    parser.add_argument(
        "--url", default="", help="where the API is, for a stack that does not say so itself"
    )
    return parser.parse_args()


async def walk_all(access: Access) -> tuple[list[Visit], list[Reply]]:
    """
    Return what the ten got, a few at a time, and what those who asked for a loan were told.

    Raises:
        DemoError: somebody cannot go on.
    """
    columns = (
        TextColumn("{task.description:<42}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    async with opened(access.url) as api:
        run = Run(
            mark=uuid4().hex[:MARK_LETTERS],
            now=datetime.now(UTC),
            password=secrets.token_urlsafe(),
            anybody=api,
            client=await api.as_client(access),
            client_id=access.client_id,
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("ten people", total=len(ROLES))

            def say(name: str, step: str) -> None:
                progress.update(task, description=f"{name.replace('_', ' ')} {step}")

            visits = await _together(run, say=say, done=lambda: progress.advance(task))
            return visits, await ask_for_loans(run, visits)


async def _together(run: Run, *, say: Say, done: Callable[[], None]) -> list[Visit]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(role: Role) -> Visit:
        async with gate:
            found = await visit(run, role, say=lambda step: say(role.name, step))
        done()
        return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(role)) for role in ROLES]
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from None  # The others were stopped with the first.
    return [task.result() for task in tasks]


def show_as_table(
    screen: Console, visits: Sequence[Visit], replies: Sequence[Reply], *, seconds: float
) -> int:
    """Print the table, the comparison, and what became of the loans."""
    found = {one.role.name: one.outcome for one in visits}
    different = differences(found, documented())
    screen.print(table(found))
    screen.print()
    screen.print(summary(different))
    screen.print("Three of them also asked for a loan (docs/prequalification.md):")
    for reply in replies:
        screen.print(f"  {told(reply)}", markup=False)
    screen.print(f"Ten new people in {seconds:.1f} s. Look next:")
    return DIFFERENT if different else 0


def show_as_json(screen: Console, visits: Sequence[Visit]) -> int:
    """Print one line a person, for other programs."""
    expected = documented()
    different = differences({one.role.name: one.outcome for one in visits}, expected)
    for one in visits:
        line = _as_json(one) | {"differences": different.get(one.role.name, [])}
        screen.print(json.dumps(line, ensure_ascii=False), markup=False)
    return DIFFERENT if different else 0


def _as_json(one: Visit) -> dict[str, Any]:
    return {
        "person": one.role.name,
        "story": one.role.story,
        "email": one.email,
        "user_id": one.user_id,
        "decision_id": one.decision_id,
        "notification_ids": list(one.notification_ids),
        **one.outcome.as_json(),
    }


def _pointers(visits: Sequence[Visit], *, url: str, folder: Path) -> list[tuple[str, str]]:
    letters = [letter for one in visits for letter in one.notification_ids]
    mail = folder / "mail"
    return [
        ("who the ten are, and why", "docs/demo.md"),
        ("how a limit comes about", "docs/credit-decision.md"),
        *([(f"{len(letters)} e-mails, in a moment", f"{mail}/")] if mail.is_dir() else []),
        ("moods over RabbitMQ", "make produce-emotions"),
        ("every route", f"{url}/docs"),
    ]


if __name__ == "__main__":
    sys.exit(main())
