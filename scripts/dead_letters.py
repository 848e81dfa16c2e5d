"""
Show the messages that could not be used, send chosen ones again, or remove them.

Of every stream, or of one. It fails (1) when letters are named and none is chosen by that.

    python -m scripts.dead_letters
    python -m scripts.dead_letters --stream decision --redrive all
    python -m scripts.dead_letters --redrive unknown_user,0b9e4e1e-7b4c-4b1e-9f0e-3a1c5d1d2f10
    python -m scripts.dead_letters --discard user:8a4fd7b2-6f0f-4a55-8d0e-0d2b1b0f8c11
"""

import argparse
import asyncio
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ecs.config import Settings, settings_or_exit
from ecs.domain.streams import STREAMS, StoredDeadLetter, Stream, names
from ecs.log import configure_logging
from ecs.services.exceptions import DestinationUnavailable, TopologyMismatch
from ecs.streaming import dead_letter_box

ROWS_MAX: Final = 50
CODES_MAX: Final = 20
COUNTED_MAX: Final = 10_000
TEXT_CHARACTERS_MAX: Final = 300
ALL: Final = "all"
USER: Final = "user:"
KIBIBYTE: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which letters are meant: all, those with a code or an id, or those that name a person."""

    words: frozenset[str]
    user_ids: frozenset[UUID] = frozenset()

    @classmethod
    def of(cls, text: str) -> "Choice":
        """Return the choice that words separated by commas or spaces make."""
        words = frozenset(text.replace(",", " ").split())
        if not words:
            raise argparse.ArgumentTypeError("name codes, ids or user:<id>, or say all")
        users = frozenset(word for word in words if word.startswith(USER))
        return cls(
            words=frozenset(_as_written(word) for word in words - users),
            user_ids=frozenset(_user_id(word) for word in users),
        )

    def __call__(self, letter: StoredDeadLetter) -> bool:
        """Return whether this one is chosen."""
        if not self.words.isdisjoint({ALL, letter.code, str(letter.message_id)}):
            return True
        return any(names(letter.body, user_id) for user_id in self.user_ids)

    def __str__(self) -> str:
        """Return its words in their order."""
        return ", ".join(sorted(self.words | {f"{USER}{one}" for one in self.user_ids}))


def _as_written(word: str) -> str:
    try:
        return str(UUID(word))
    except ValueError:
        return word


def _user_id(word: str) -> UUID:
    try:
        return UUID(word.removeprefix(USER))
    except ValueError:
        raise argparse.ArgumentTypeError("user: is followed by a person's id") from None


async def show(settings: Settings, streams: Mapping[str, Stream], console: Console) -> None:
    """Print how many letters each stream has, and of each the oldest."""
    found = {
        name: await dead_letter_box(settings, stream=stream).peek(COUNTED_MAX)
        for name, stream in streams.items()
    }
    for name, letters in found.items():
        console.print(f"{name}: {len(letters) or 'no'} dead letters in {streams[name].dead_queue}.")
    for name, letters in found.items():
        if letters:
            show_letters(name, letters, console)
    if any(found.values()):
        console.print(
            "Send again: make dead-letters REDRIVE=all, or codes, ids, user:<id> with commas."
        )
        console.print("Remove for good: make dead-letters DISCARD=... in the same words.")
        console.print("STREAM=<name> means one stream alone.")


def show_letters(name: str, letters: Sequence[StoredDeadLetter], console: Console) -> None:
    """Print the oldest letters of a stream, and how many there are with each code."""
    console.print(table_of(letters[:ROWS_MAX], now=datetime.now(UTC), title=name))
    if len(letters) > ROWS_MAX:
        console.print(f"... and {len(letters) - ROWS_MAX} more.")
    console.print(counts_of(letters))


def table_of(
    letters: Sequence[StoredDeadLetter], *, now: datetime, title: str | None = None
) -> Table:
    """
    Return the letters as a table of 80 characters, whose ids are whole: they are to be copied.

    Bodies stay where they are: they are about people.
    """
    table = Table(
        "id, reason, client",
        "code",
        "age",
        "size",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=title,
    )
    for letter in letters:
        lines = (str(letter.message_id), letter.reason, f"client {letter.client or 'unknown'}")
        table.add_row(
            Text("\n").join(map(harmless, lines)),
            harmless(letter.code),
            age_of(letter.died_at, now=now),
            size_of(len(letter.body)),
            end_section=True,
        )
    return table


def counts_of(letters: Sequence[StoredDeadLetter]) -> Text:
    """Return how many letters there are with each of the most frequent codes."""
    counts = Counter(letter.code for letter in letters)
    said = Text("By code: ")
    shown = (Text(" ").join((harmless(c), Text(str(n)))) for c, n in counts.most_common(CODES_MAX))
    said.append_text(Text(", ").join(shown))
    return said if len(counts) <= CODES_MAX else said.append(", ...")


def harmless(text: str) -> Text:
    """Return what somebody wrote, so that a terminal shows it and obeys nothing of it."""
    return Text(
        "".join(
            "\N{REPLACEMENT CHARACTER}" if _commands(character) else character
            for character in text[:TEXT_CHARACTERS_MAX]
        )
    )


def _commands(character: str) -> bool:
    """Return whether it is a control, an order of writing, half a character or a line's end."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


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


class Chosen:
    """Counts what a choice chooses."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self.count = 0

    def __call__(self, letter: StoredDeadLetter) -> bool:
        """Return whether this one is chosen."""
        is_chosen = self._choice(letter)
        self.count += is_chosen
        return is_chosen


async def redrive(settings: Settings, stream: Stream, choice: Choice, console: Console) -> int:
    """Send the chosen letters again, with a progress bar; return how many were chosen."""
    box = dead_letter_box(settings, stream=stream)
    chosen = Chosen(choice)
    with _progress() as progress:
        task = progress.add_task("dead letters", total=await box.count())
        sent = await box.redrive(chosen, seen=lambda seen: progress.update(task, completed=seen))
    console.print(f"{sent} sent to {stream.queue} again.")
    if chosen.count > sent:
        console.print(f"{chosen.count - sent} were not taken (is the queue full?) and stay.")
    return chosen.count


async def discard(settings: Settings, stream: Stream, choice: Choice, console: Console) -> int:
    """Remove the chosen letters for good, with a progress bar; return how many they were."""
    box = dead_letter_box(settings, stream=stream)
    with _progress() as progress:
        task = progress.add_task("dead letters", total=await box.count())
        gone = await box.discard(choice, seen=lambda seen: progress.update(task, completed=seen))
    console.print(f"{gone} removed from {stream.dead_queue}, for good.")
    return gone


async def settle(
    settings: Settings, streams: Mapping[str, Stream], arguments: argparse.Namespace
) -> str | None:
    """Send again or remove, stream by stream; return what is wrong with the choice, if anything."""
    console = Console()
    does, choice = redrive, arguments.redrive
    if choice is None:
        does, choice = discard, arguments.discard
    counts = [await does(settings, stream, choice, console) for stream in streams.values()]
    return None if any(counts) or ALL in choice.words else f"None is chosen by: {choice}."


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True))


def main() -> None:
    """Read the arguments, show, send or remove; say plainly when RabbitMQ is not there."""
    arguments = _arguments()
    settings = settings_or_exit()
    configure_logging(level="error", service="dead-letters")
    streams = {arguments.stream: STREAMS[arguments.stream]} if arguments.stream else STREAMS
    try:
        if arguments.redrive is None and arguments.discard is None:
            asyncio.run(show(settings, streams, Console()))
        else:
            sys.exit(asyncio.run(settle(settings, streams, arguments)))
    except DestinationUnavailable as error:
        place = f"{settings.rabbitmq.host}:{settings.rabbitmq.port}"
        sys.exit(f"RabbitMQ does not answer at {place} ({error}); see make status.")
    except TopologyMismatch as error:
        sys.exit(str(error))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stream", choices=sorted(STREAMS))
    what = parser.add_mutually_exclusive_group()
    words = "all, or codes, ids and user:<id> with commas"
    what.add_argument("--redrive", type=Choice.of, help=words)
    what.add_argument("--discard", type=Choice.of, help=words)
    return parser.parse_args()


if __name__ == "__main__":
    main()
