"""Takes emotional events from RabbitMQ: ``python -m workers.emotions_consumer``. Many may run."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from ecs.bootstrap import Application, application
from ecs.domain.emotions.events import Verdict
from ecs.domain.streams import EMOTIONS, DeadLetter, Delivery, letter_id
from ecs.streaming import stream_consumer
from ecs.wire.emotions import EXPLANATIONS, EmotionalEventIn, read_message
from ecs.wire.forms import parse_uuid
from ecs.wire.ingestion import INVALID_FIELD, ReadItems
from ecs.wire.strict_json import NotStrictJson
from workers.runtime import start, stop_event
from workers.streams import can_work, consume

SERVICE: Final = "emotions-consumer"
CONNECTIONS: Final = 3
MALFORMED: Final = "malformed"
TRANSACTION_EVENTS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One event of a message, as it was sent; ``position`` is None for a message as a whole."""

    delivery: Delivery
    position: int | None
    body: bytes

    def dead(self, code: str, reason: str) -> DeadLetter:
        """Return it as a dead letter."""
        return DeadLetter(
            message_id=letter_id(self.delivery, position=self.position, body=self.body),
            body=self.body,
            code=code,
            reason=reason,
            client=self.delivery.app_id,
        )


Readable = tuple[Parcel, EmotionalEventIn, UUID]
"""An event of a message, as it was read, and the client that says it sends it."""


async def ingest(ecs: Application, deliveries: Sequence[Delivery]) -> list[DeadLetter]:
    """
    Store the events of some messages, in their order; return those that cannot be stored.

    A transaction takes at most 2,000. When one fails, those before it stay: the messages come again
    as a whole, and what is stored by then is a duplicate.
    """
    dead: list[DeadLetter] = []
    readable: list[Readable] = []
    for delivery in deliveries:
        for item in read(delivery):
            if isinstance(item, DeadLetter):
                dead.append(item)
            else:
                readable.append(item)
        await asyncio.sleep(0)  # Reading much must not silence the connection's heartbeat.
    for first in range(0, len(readable), TRANSACTION_EVENTS_MAX):
        dead += await _store(ecs, readable[first : first + TRANSACTION_EVENTS_MAX])
    return dead


def read(delivery: Delivery) -> Iterator[DeadLetter | Readable]:
    """Yield each event of a message with its client, or the dead letter that it has become."""
    try:
        contents = read_message(delivery.body)
    except NotStrictJson as error:
        yield Parcel(delivery=delivery, position=None, body=delivery.body).dead(
            MALFORMED, str(error)
        )
        return
    client_id = _client_id(delivery)
    items = ReadItems(contents, model=EmotionalEventIn, id_field="event_id")
    alone = len(contents) == 1
    for position, content in enumerate(contents):
        body = delivery.body if alone else _encoded(content)
        parcel = Parcel(delivery=delivery, position=position, body=body)
        if client_id is None:
            yield parcel.dead(Verdict.UNKNOWN_CLIENT, EXPLANATIONS[Verdict.UNKNOWN_CLIENT])
        elif position in items.complaints:
            complaint = items.complaints[position]
            yield parcel.dead(
                INVALID_FIELD, f"{complaint.pointer or 'the event'}: {complaint.message}"
            )
        else:
            yield parcel, items.readable[position], client_id


async def _store(ecs: Application, items: Sequence[Readable]) -> list[DeadLetter]:
    events = [event.at(i, client_id=client_id) for i, (_, event, client_id) in enumerate(items)]
    verdicts = await ecs.emotions.ingest_unvouched(events)
    return [
        items[index][0].dead(verdict, EXPLANATIONS[verdict])
        for index, verdict in sorted(verdicts.items())
        if verdict in EXPLANATIONS
    ]


def _encoded(content: Any) -> bytes:
    """Return JSON in UTF-8, no longer than it came but for numbers such as 1e15."""
    return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _client_id(delivery: Delivery) -> UUID | None:
    try:
        return parse_uuid(delivery.app_id)
    except ValueError:
        return None


async def main() -> None:
    """Take events until told to stop; what was taken by then is finished first."""
    settings, telemetry = start(SERVICE)
    async with application(
        settings, name=SERVICE, connections=CONNECTIONS, telemetry=telemetry
    ) as ecs:
        consumer = stream_consumer(
            settings,
            stream=EMOTIONS,
            handle=partial(ingest, ecs),
            can_work=partial(can_work, ecs),
            measures=telemetry.measures,
        )
        await consume(consumer, stop_event())


if __name__ == "__main__":
    asyncio.run(main())
