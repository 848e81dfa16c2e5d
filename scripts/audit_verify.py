"""
Check that the audit of access to PANs is as it was written; exit code 1 when it is not.

    python -m scripts.audit_verify

Follows the seals one by one and names the first row or seal that is changed, missing or slipped in.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ecs.bootstrap import owner_application
from ecs.config import settings_or_exit
from ecs.domain.audit import Verification
from ecs.log import configure_logging
from ecs.services.exceptions import RepositoryError

UNSEEN: Final = "Not to be seen from here: rows cut off at the very end together with their seals"


def main() -> None:
    """Check, with a bar that moves, and say what was found."""
    argparse.ArgumentParser(description=__doc__.partition("\n\n")[0]).parse_args()
    configure_logging(level="warning", service="audit-verify")
    try:
        found = asyncio.run(verify())
    except RepositoryError as error:
        print(f"Nothing was checked to its end: {error!r}", file=sys.stderr)  # noqa: T201  (a command's answer)
        sys.exit(2)
    for line in lines(found):
        print(line)  # noqa: T201  (a command's answer)
    sys.exit(not found.is_sound)


async def verify() -> Verification:
    """Follow the chain with the owner's rights."""
    settings = settings_or_exit()
    columns = (TextColumn("seals"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with shown as progress:
        bar = progress.add_task("seals", total=None)
        async with owner_application(settings) as ecs:
            return await ecs.audit.verify(
                on_seal=lambda done, total: progress.update(bar, completed=done, total=total)
            )


def lines(found: Verification) -> Iterator[str]:
    """Yield what is said about it; what is wrong comes last but for what cannot be seen."""
    good = f"{found.rows} rows under {found.seals} seals are as they were written"
    if found.flaw is not None:
        yield f"BROKEN: {found.flaw}. Before it, {good}."
    else:
        yield f"{good}; {found.waiting_rows} rows wait for their seal"
    yield from _late(found)
    if found.unseen_encryption is not None:
        yield f"BROKEN: application {found.unseen_encryption} has no ENCRYPT row."
    if found.unseen_decryption is not None:
        yield (
            f"BROKEN: the credit report of application {found.unseen_decryption} has no DECRYPT row"
            " before it."
        )
    if found.seals:
        yield f"The last good seal is {found.last.id}, {found.last.hash.hex()}."
    yield f"{UNSEEN}. Who notes the last seal elsewhere can: its hash must never change."


def _late(found: Verification) -> Iterator[str]:
    if found.is_sealing_late:
        yield (
            f"LATE: the oldest of them waits for {found.waiting_seconds:.0f} s. The sealer does not"
            " run, or a transaction that writes to the audit does not end."
        )


if __name__ == "__main__":
    main()
