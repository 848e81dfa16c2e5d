"""
Stream emotional events of the demo people over RabbitMQ.

    python -m scripts.produce_emotions --count 600 --rate 100 --seed 1 --days 3

The readings are spread over the last days and sent in the order of their time, each message
confirmed by the broker. The same seed tells the same story: what was sent before is a duplicate.
"""

import argparse
import asyncio
import contextlib
import json
import math
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count as count_from
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecs.config import Settings, settings_or_exit
from ecs.domain.streams import EMOTIONS, OutgoingMessage, Stream
from ecs.log import configure_logging
from ecs.services.exceptions import DestinationUnavailable
from ecs.streaming import stream_publisher
from scripts.demo_moods import EVEN, TEMPERAMENTS, Diary, Reading
from scripts.demo_people import PERSONAS, transactions_of

TICKS_A_SECOND: Final = 10
TRIES_MAX: Final = 30
PAUSE_SECONDS: Final = 2.0
COUNT_MAX: Final = 1_000_000
DAYS_MAX: Final = 29  # Older events are refused.

Advance = Callable[[int], None]


class Publisher(Protocol):
    """Carries messages to a broker."""

    async def publish(
        self, messages: Sequence[OutgoingMessage], *, to: Stream
    ) -> Mapping[UUID, str]:
        """Return the refusals once every message is confirmed or refused."""


def diaries_of(
    logins: Mapping[str, Any], *, seed: int, now: datetime, currency: str
) -> list[Diary]:
    """Return the diaries of all people in ``demo.json``."""
    personas = {persona.name: persona for persona in PERSONAS}
    return [
        Diary(
            user_id=UUID(login["id"]),
            temperament=TEMPERAMENTS.get(login["persona"], EVEN),
            money=transactions_of(
                personas[login["persona"]], user_id=UUID(login["id"]), now=now, currency=currency
            ),
            seed=seed,
        )
        for login in logins["users"]
    ]


def readings_of(
    diaries: Sequence[Diary], *, count: int, until: datetime, span: timedelta
) -> list[Reading]:
    """Return ``count`` readings, shared evenly among all people, oldest first."""
    shares = [
        count // len(diaries) + (place < count % len(diaries)) for place in range(len(diaries))
    ]
    readings = [
        reading
        for diary, share in zip(diaries, shares, strict=True)
        for reading in diary.readings(until=until, span=span, count=share)
    ]
    return sorted(readings, key=lambda reading: (reading.captured_at, reading.event_id))


def message_of(reading: Reading, *, client_id: str) -> OutgoingMessage:
    """Return a reading as the message that a device would send."""
    return OutgoingMessage(
        message_id=reading.event_id,
        body=json.dumps(reading.as_event()).encode(),
        app_id=client_id,
    )


async def stream(
    publisher: Publisher, messages: Sequence[OutgoingMessage], *, rate: float, advance: Advance
) -> None:
    """
    Publish ``messages`` in order, about ``rate`` a second; call ``advance`` with what is confirmed.

    Raises:
        DestinationUnavailable: nobody answered for a minute.
    """
    started = asyncio.get_running_loop().time()
    for due, part in parts(messages, rate=rate):
        await asyncio.sleep(started + due - asyncio.get_running_loop().time())
        refused = await _patiently(lambda part=part: publisher.publish(part, to=EMOTIONS))  # type: ignore[misc]  # mypy cannot infer it
        for reason in refused.values():
            sys.exit(f"RabbitMQ refused an event: {reason}")
        advance(len(part))


def parts(
    messages: Sequence[OutgoingMessage], *, rate: float
) -> Iterator[tuple[float, Sequence[OutgoingMessage]]]:
    """Yield what is to be sent together, and how many seconds after the start."""
    sent = 0
    for tick in count_from(1):
        if sent >= len(messages):
            return
        upto = max(sent, int(tick * rate / TICKS_A_SECOND))
        if upto > sent:
            yield (tick - 1) / TICKS_A_SECOND, messages[sent:upto]
        sent = upto


async def _patiently(
    publish: Callable[[], Awaitable[Mapping[UUID, str]]],
) -> Mapping[UUID, str]:
    for tries in count_from(1):
        try:
            return await publish()
        except DestinationUnavailable:
            if tries == TRIES_MAX:
                raise
            await asyncio.sleep(PAUSE_SECONDS)  # Sent again, an event is a duplicate: harmless.
    raise AssertionError("the tries are endless")


async def produce(
    settings: Settings, logins: Mapping[str, Any], arguments: argparse.Namespace
) -> int:
    """Stream the events of all demo people with a progress bar; return of how many people."""
    now = arguments.until or datetime.now(UTC)
    diaries = diaries_of(logins, seed=arguments.seed, now=now, currency=settings.credit.currency)
    readings = readings_of(
        diaries, count=arguments.count, until=now, span=timedelta(days=arguments.days)
    )
    client_id = logins["clients"][0]["client_id"]
    messages = [message_of(reading, client_id=client_id) for reading in readings]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    async with stream_publisher(settings, name="produce-emotions") as publisher:
        await publisher.declare(EMOTIONS)
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("emotional events", total=len(messages))
            await stream(
                publisher,
                messages,
                rate=arguments.rate,
                advance=lambda confirmed: progress.advance(task, confirmed),
            )
    return len({reading.user_id for reading in readings})


def read_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else None)
    parser.add_argument(
        "--count", type=whole(COUNT_MAX), default=600, help=f"events in all, 1 to {COUNT_MAX:,}"
    )
    parser.add_argument("--rate", type=positive, default=100.0, help="events a second")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same story")
    parser.add_argument(
        "--days", type=whole(DAYS_MAX), default=3, help=f"spread over 1 to {DAYS_MAX}, ending now"
    )
    parser.add_argument("--until", type=instant, help="end then, as in 2026-01-31T00:00:00Z")
    parser.add_argument("--logins", type=Path, default=Path(".stack/demo.json"))
    return parser.parse_args()


def whole(most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from 1 to ``most``."""

    def read(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"give a whole number from 1 to {most:,}")
        return int(text)

    return read


def positive(text: str) -> float:
    """Return a number above zero."""
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) < math.inf:
            return number
    raise argparse.ArgumentTypeError("give a number above zero")


def instant(text: str) -> datetime:
    """Return a moment with its offset."""
    with contextlib.suppress(ValueError):
        if (moment := datetime.fromisoformat(text)).tzinfo is not None:
            return moment
    raise argparse.ArgumentTypeError("write a moment with its offset: 2026-01-31T00:00:00Z")


def read_logins(file: Path) -> dict[str, Any]:
    """Return the demo people, or end with the way out."""
    try:
        logins: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        sys.exit(
            f"There is no {file}: start the stack (make up), or add the people (make seed-dev)."
        )
    if any("id" not in login for login in logins["users"]):
        sys.exit(f"{file} is of an older release: write it anew (make seed-dev).")
    return logins


def main() -> None:
    """Stream, and say what came of it."""
    arguments = read_arguments()
    settings = settings_or_exit()
    configure_logging(level="error", service="produce-emotions")
    logins = read_logins(arguments.logins)
    try:
        people = asyncio.run(produce(settings, logins, arguments))
    except DestinationUnavailable as error:
        sys.exit(f"RabbitMQ does not answer ({error}); is the stack running (make status)?")
    except KeyboardInterrupt:
        sys.exit("Stopped; what was confirmed stays.")
    print(  # noqa: T201  (its one answer)
        f"{arguments.count} events of {people} people confirmed by RabbitMQ; "
        "each person sees them at GET /api/v1/emotions/summary."
    )


if __name__ == "__main__":
    main()
