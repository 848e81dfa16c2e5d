"""Takes emotional events from RabbitMQ: ``python -m workers.emotions_consumer``. Many may run."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from ecs.bootstrap import Application, application, stream_consumer
from ecs.config import settings_or_exit
from ecs.domain.emotions.events import IncomingEvent, Verdict
from ecs.domain.streams import EMOTIONS, DeadLetter, Delivery
from ecs.log import configure_logging
from ecs.wire.emotions import EXPLANATIONS, EmotionalEventIn, read_message
from ecs.wire.forms import parse_uuid
from ecs.wire.ingestion import INVALID_FIELD, ReadItems
from ecs.wire.strict_json import NotStrictJson
from workers.runtime import stop_event
from workers.streams import consume

SERVICE: Final = "emotions-consumer"
MALFORMED: Final = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One event of a message, as it was sent; ``position`` is None for a message as a whole."""

    delivery: Delivery
    position: int | None
    body: bytes

    def dead(self, code: str, reason: str) -> DeadLetter:
        """Return it as a dead letter, whose id is the same each time the message is delivered."""
        sent = f"{self.delivery.app_id}:{self.delivery.message_id}:{self.position}:".encode()
        return DeadLetter(
            message_id=uuid5(NAMESPACE_URL, (sent + self.body).hex()),
            body=self.body,
            code=code,
            reason=reason,
            client=self.delivery.app_id,
        )


async def ingest(ecs: Application, deliveries: Sequence[Delivery]) -> list[DeadLetter]:
    """Store the events of some messages in one transaction; return those that cannot be stored."""
    dead: list[DeadLetter] = []
    parcels: list[Parcel] = []
    events: list[IncomingEvent] = []
    for item in (item for delivery in deliveries for item in read(delivery)):
        if isinstance(item, DeadLetter):
            dead.append(item)
            continue
        parcel, event, client_id = item
        events.append(event.at(len(parcels), client_id=client_id))
        parcels.append(parcel)
    verdicts = await ecs.emotions.ingest_unvouched(events) if events else {}
    for index, verdict in sorted(verdicts.items()):
        if verdict in EXPLANATIONS:
            dead.append(parcels[index].dead(verdict, EXPLANATIONS[verdict]))
    return dead


def read(delivery: Delivery) -> Iterator[DeadLetter | tuple[Parcel, EmotionalEventIn, UUID]]:
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
        body = delivery.body if alone else json.dumps(content, allow_nan=False).encode()
        parcel = Parcel(delivery=delivery, position=position, body=body)
        if client_id is None:
            yield parcel.dead(Verdict.UNKNOWN_CLIENT, EXPLANATIONS[Verdict.UNKNOWN_CLIENT])
        elif position in items.complaints:
            complaint = items.complaints[position]
            yield parcel.dead(INVALID_FIELD, f"{complaint.pointer}: {complaint.message}")
        else:
            yield parcel, items.readable[position], client_id


def _client_id(delivery: Delivery) -> UUID | None:
    try:
        return parse_uuid(delivery.app_id)
    except ValueError:
        return None


async def main() -> None:
    """Take events until told to stop; what was taken by then is finished first."""
    settings = settings_or_exit()
    configure_logging(level=settings.log_level, service=SERVICE)
    async with application(settings, name=SERVICE) as ecs:
        consumer = stream_consumer(settings, stream=EMOTIONS, handle=partial(ingest, ecs))
        await consume(consumer, stop_event())


if __name__ == "__main__":
    asyncio.run(main())
