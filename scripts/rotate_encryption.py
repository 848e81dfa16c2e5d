"""
Re-encrypt every stored PAN with the active key (``ENCRYPTION_ACTIVE_KEY_ID``).

Everything else may go on meanwhile, and whoever is interrupted runs it again. The exit code is 1
when something could not be read, or is left on another key.
"""

import argparse
import asyncio
import sys
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecs.bootstrap import job_application
from ecs.config import Settings, settings_or_exit
from ecs.log import configure_logging
from ecs.services.encryption_service import Rotation

LATER: Final = (
    "The old key may be taken out of ENCRYPTION_KEYS (native stack: make drop-encryption-key"
    " KEY=<id>); for messages still under it, what is stored is read. Keep it with the backups that"
    " need it."
)
STILL_WRITING: Final = (
    "A process still writes with an old key, or rows were in use all the time: let every process"
    " have the new ENCRYPTION_ACTIVE_KEY_ID, then run this again."
)


def main() -> None:
    """Rotate, show how it goes, and say what is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unused", metavar="KEY", help="only say whether anything is on this key")
    key_id: str | None = parser.parse_args().unused
    configure_logging(level="warning", service="rotate-encryption")
    settings = settings_or_exit()
    if key_id is not None:
        sys.exit(asyncio.run(why_in_use(settings, key_id)))
    rotation = asyncio.run(rotate(settings))
    show(rotation, key_id=settings.encryption.active_key_id)
    sys.exit(1 if rotation.left or rotation.unreadable else 0)


async def why_in_use(settings: Settings, key_id: str) -> str | None:
    """Return what still needs a key, or None: nothing does."""
    if key_id == settings.encryption.active_key_id:
        return f"Key {key_id} is the active one."
    async with job_application(settings) as ecs:
        number = (await ecs.encryption.left()).get(key_id, 0)
    if number:
        return (
            f"Key {key_id} is in use: {number} ciphertexts are on it. Run: make rotate-encryption"
        )
    return None


async def rotate(settings: Settings) -> Rotation:
    """Rotate behind a progress bar."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    async with job_application(settings) as ecs:
        with bar:
            total = sum((await ecs.encryption.left()).values())
            task = bar.add_task("re-encrypting", total=total)
            return await ecs.encryption.rotate(on_batch=lambda number: bar.advance(task, number))


def show(rotation: Rotation, *, key_id: str) -> None:
    """Print what was done, what could not be read, and what is left."""
    say(f"Re-encrypted with key {key_id}: {rotation.rotated} ciphertexts.")
    for application_id in rotation.unreadable:
        say(f"Cannot be read, and was left as it is: application {application_id}")
    for old, number in rotation.left.items():
        say(f"Left on key {old}: {number}")
    if sum(rotation.left.values()) > rotation.unreadable_ciphertexts:
        say(STILL_WRITING)
    if not rotation.left:
        say(f"Nothing is left on another key. {LATER}")


def say(words: str) -> None:
    """Print a line of the answer."""
    print(words)  # noqa: T201  (a command's answer)


if __name__ == "__main__":
    main()
