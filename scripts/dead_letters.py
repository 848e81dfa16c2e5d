"""
Show the messages of a stream that could not be used, or send chosen ones to it again.

    python -m scripts.dead_letters
    python -m scripts.dead_letters --redrive all
    python -m scripts.dead_letters --redrive unknown_user,0b9e4e1e-7b4c-4b1e-9f0e-3a1c5d1d2f10
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ecs.bootstrap import dead_letter_box
from ecs.config import Settings, settings_or_exit
from ecs.domain.streams import STREAMS, StoredDeadLetter, Stream
from ecs.log import configure_logging
from ecs.services.exceptions import DestinationUnavailable, TopologyMismatch

ROWS_MAX: Final = 50
COUNTED_MAX: Final = 10_000
ALL: Final = "all"
KIBIBYTE: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which letters go again: all of them, those with a code, or those with an id."""

    words: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "Choice":
        """Return the choice that words separated by commas or spaces make."""
        words = frozenset(text.replace(",", " ").split())
        if not words:
            raise argparse.ArgumentTypeError("name codes or ids, or say all")
        return cls(words=frozenset(_as_written(word) for word in words))

    def __call__(self, letter: StoredDeadLetter) -> bool:
        """Return whether this one is chosen."""
        return not self.words.isdisjoint({ALL, letter.code, str(letter.message_id)})


def _as_written(word: str) -> str:
    try:
        return str(UUID(word))
    except ValueError:
        return word


async def show(settings: Settings, stream: Stream, console: Console) -> None:
    """Print the oldest letters, and how many there are with each code."""
    box = dead_letter_box(settings, stream=stream)
    letters = await box.peek(COUNTED_MAX)
    if not letters:
        console.print(f"No dead letters in {stream.dead_queue}.")
        return
    console.print(table_of(letters[:ROWS_MAX], now=datetime.now(UTC)))
    if len(letters) > ROWS_MAX:
        console.print(f"... and {len(letters) - ROWS_MAX} more.")
    counts = Counter(letter.code for letter in letters).most_common()
    console.print("By code: " + ", ".join(f"{code} {count}" for code, count in counts))
    console.print("Send again: make dead-letters REDRIVE=all, or codes or ids with commas.")


def table_of(letters: Sequence[StoredDeadLetter], *, now: datetime) -> Table:
    """Return the letters as a table. Bodies stay where they are: they are about people."""
    table = Table("id", "code", "reason", "client", "age", "size")
    for letter in letters:
        age = age_of(letter.died_at, now=now)
        client = letter.client or "-"
        table.add_row(
            *(str(letter.message_id), letter.code, letter.reason, client),
            *(age, size_of(len(letter.body))),
        )
    return table


def age_of(died_at: datetime | None, *, now: datetime) -> str:
    """Return how long ago something was, in its largest whole unit."""
    if died_at is None:
        return "-"
    passed = max(now - died_at, timedelta(0))
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1))):
        if passed >= length:
            return f"{passed // length} {unit}"
    minutes, seconds = divmod(int(passed.total_seconds()), 60)
    return f"{minutes} min" if minutes else f"{seconds} s"


def size_of(count: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{count} B" if count < KIBIBYTE else f"{count / KIBIBYTE:.1f} KiB"


async def redrive(settings: Settings, stream: Stream, choice: Choice, console: Console) -> None:
    """Send the chosen letters again, with a progress bar; print how many went."""
    box = dead_letter_box(settings, stream=stream)
    chosen = 0

    def choose(letter: StoredDeadLetter) -> bool:
        nonlocal chosen
        is_chosen = choice(letter)
        chosen += is_chosen
        return is_chosen

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("dead letters", total=await box.count())
        sent = await box.redrive(choose, seen=lambda seen: progress.update(task, completed=seen))
    console.print(f"{sent} sent to {stream.queue} again.")
    if chosen > sent:
        console.print(f"{chosen - sent} were not taken (is the queue full?) and stay.")
    if not chosen:
        console.print(f"None is chosen by: {', '.join(sorted(choice.words))}.")


def main() -> None:
    """Read the arguments, show or send; say plainly when RabbitMQ is not there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stream", choices=sorted(STREAMS), default="emotions")
    parser.add_argument("--redrive", type=Choice.of, help="all, or codes and ids with commas")
    arguments = parser.parse_args()
    settings, console = settings_or_exit(), Console()
    configure_logging(level="error", service="dead-letters")
    stream = STREAMS[arguments.stream]
    try:
        if arguments.redrive is None:
            asyncio.run(show(settings, stream, console))
        else:
            asyncio.run(redrive(settings, stream, arguments.redrive, console))
    except DestinationUnavailable as error:
        place = f"{settings.rabbitmq.host}:{settings.rabbitmq.port}"
        sys.exit(f"RabbitMQ does not answer at {place} ({error}); see make status.")
    except TopologyMismatch as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
