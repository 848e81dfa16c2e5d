"""Hands events to RabbitMQ: an exchange a destination, an event a message in CloudEvents' form."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from ecs.domain.events import OutboxMessage
from ecs.domain.streams import CLOUD_EVENT, JSON, OutgoingMessage, Stream
from ecs.integrations.exceptions import DestinationUnavailable, PublishInterrupted
from ecs.integrations.rabbitmq.publisher import PASSING, StreamPublisher

SCHEME: Final = "amqp:"
SOURCE: Final = "/ecs"
SENDER: Final = "ecs"
# Connecting, declaring and publishing together: meanwhile rows are locked, in a transaction that
# the database ends after fifteen seconds without a statement.
PUBLISH_SECONDS_MAX: Final = 10.0


class AmqpPublisher:
    """
    Publishes each event to the stream of its destination and its name.

    ``publisher`` should declare ``streams`` on each new connection: whenever the broker does not
    take something now, the connection is dropped, and the next try begins with the queues.
    """

    def __init__(
        self,
        publisher: StreamPublisher,
        *,
        streams: Iterable[Stream],
        seconds_max: float = PUBLISH_SECONDS_MAX,
    ) -> None:
        self._publisher = publisher
        self._streams = {(one.exchange, one.routing_key): one for one in streams}
        self._seconds_max = seconds_max

    async def publish(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, str]:
        """
        Publish each message; return why some never can be.

        Raises:
            PublishInterrupted: the broker did not take all of the others within ten seconds.
        """
        answers = _Answers()
        try:
            async with asyncio.timeout(self._seconds_max):
                await self._publish(messages, answers)
        except TimeoutError:
            answers.passing = f"not confirmed within {self._seconds_max:g} s"
        except DestinationUnavailable as error:
            answers.passing = str(error)
        if answers.passing is not None:
            self._publisher.drop()
            raise PublishInterrupted(answers.passing, confirmed=frozenset(answers.confirmed))
        return answers.refused

    async def close(self) -> None:
        """Close the connection."""
        await self._publisher.close()

    async def _publish(self, messages: Sequence[OutboxMessage], answers: "_Answers") -> None:
        by_stream: dict[Stream, list[OutgoingMessage]] = {}
        for message in messages:
            stream = self._streams.get((message.destination.removeprefix(SCHEME), message.name))
            body = body_of(message)
            if stream is None or body is None:
                why = "no stream carries it" if stream is None else "it cannot be written as JSON"
                answers.refused[message.id] = why
            else:
                outgoing = OutgoingMessage(
                    message_id=message.id, body=body, app_id=SENDER, content_type=CLOUD_EVENT
                )
                by_stream.setdefault(stream, []).append(outgoing)
        for stream, several in by_stream.items():
            await self._publish_to(stream, several, answers)

    async def _publish_to(
        self, stream: Stream, messages: Sequence[OutgoingMessage], answers: "_Answers"
    ) -> None:
        """Publish what goes to one stream; one that is full does not stop the others."""
        try:
            refused = await self._publisher.publish(messages, to=stream)
        except PublishInterrupted as error:
            answers.confirmed |= error.confirmed
            raise
        answers.confirmed |= {message.message_id for message in messages} - refused.keys()
        for message_id, reason in refused.items():
            if reason in PASSING:
                answers.passing = f"{stream.queue}: {reason}"
            else:
                answers.refused[message_id] = reason


class _Answers:
    """What became of some messages; ``passing`` is why some may be taken later."""

    def __init__(self) -> None:
        self.confirmed: set[UUID] = set()
        self.refused: dict[UUID, str] = {}
        self.passing: str | None = None


def body_of(message: OutboxMessage) -> bytes | None:
    """Return a CloudEvent (version 1.0, structured mode), or None: no JSON can say it."""
    event = {
        "specversion": "1.0",
        "id": str(message.id),
        "source": SOURCE,
        "type": message.name,
        "time": message.created_at.isoformat(),
        "datacontenttype": JSON,
        "data": dict(message.payload),
    }
    if message.request_id is not None:
        event["requestid"] = message.request_id
    if message.trace_parent is not None:
        event["traceparent"] = message.trace_parent
    try:
        return json.dumps(event, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError):
        return None
