"""The dead letters of a stream: looked at without taking any, and sent again when chosen."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from aiormq.abc import AbstractChannel, DeliveredMessage

from ecs.domain.streams import Delivery, OutgoingMessage, StoredDeadLetter, Stream
from ecs.integrations.exceptions import PublishInterrupted
from ecs.integrations.rabbitmq import topology
from ecs.integrations.rabbitmq.connection import Broker, Link, ask, tag_of
from ecs.integrations.rabbitmq.handling import (
    CLIENT_HEADER,
    CODE_HEADER,
    REASON_HEADER,
    message_id_of,
)
from ecs.integrations.rabbitmq.publisher import StreamPublisher

AT_ONCE: Final = 200
# What AMQP can hold back; behind so many that nobody chooses, nothing is seen.
TAKEN_MAX: Final = 65_535
ARRIVAL_SECONDS_MAX: Final = 2.0
UNKNOWN: Final = "unknown"
BROKERS_REASONS: Final = {
    "delivery_limit": f"not acknowledged after {topology.DELIVERIES_MAX} redeliveries",
    "maxlen": "the queue was full",
    "expired": "it waited for too long",
    "rejected": "it was rejected",
}


class DeadLetterBox:
    """
    The dead queue of one stream.

    While somebody looks, what he has seen so far is hidden from others; then it is back in place.
    """

    def __init__(
        self, broker: Broker, *, name: str, stream: Stream, publisher: StreamPublisher
    ) -> None:
        self._broker = broker
        self._name = name
        self._stream = stream
        self._publisher = publisher

    async def count(self) -> int:
        """Return how many letters there are; raise ``DestinationUnavailable`` without a broker."""
        async with self._opened() as channel:
            return await self._count(channel)

    async def peek(self, limit: int) -> list[StoredDeadLetter]:
        """Return the oldest letters in their order, or raise ``DestinationUnavailable``."""
        async with self._opened() as channel:
            return [_stored(message) async for message in self._take(channel, limit)]

    async def redrive(
        self,
        choose: Callable[[StoredDeadLetter], bool],
        *,
        seen: Callable[[int], None] = lambda _: None,
    ) -> int:
        """
        Send the chosen ones to the stream again and return how many of them it took.

        Only what the stream has confirmed leaves the dead queue. What dies again meanwhile is not
        looked at twice. ``seen`` is told how many letters were looked at so far.

        Raises:
            DestinationUnavailable: the broker stopped answering; what was sent is sent.
        """
        sent = looked_at = 0
        async with self._opened() as channel:
            async for taken in _in_parts(self._take(channel, TAKEN_MAX)):
                chosen = [message for message in taken if choose(_stored(message))]
                sent += await self._send_again(channel, chosen)
                looked_at += len(taken)
                seen(looked_at)
        return sent

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AbstractChannel]:
        link = await Link.open(self._broker, name=self._name)
        try:
            await topology.declare(link, self._stream)
            channel = await link.channel()
            yield channel
            await ask(channel.close())  # Whatever was taken and not acknowledged goes back.
        finally:
            await link.close()
            await self._publisher.close()

    async def _count(self, channel: AbstractChannel) -> int:
        answer = await ask(channel.queue_declare(self._stream.dead_queue, passive=True))
        return answer.message_count or 0

    async def _take(self, channel: AbstractChannel, limit: int) -> AsyncIterator[DeliveredMessage]:
        """Yield up to ``limit`` letters. One consumer takes them, so that they go back in order."""
        count = min(limit, await self._count(channel), TAKEN_MAX)
        if count == 0:
            return
        arrived = asyncio.Queue[DeliveredMessage]()
        await ask(channel.basic_qos(prefetch_count=count))
        await ask(channel.basic_consume(self._stream.dead_queue, arrived.put))
        for _ in range(count):
            try:
                async with asyncio.timeout(ARRIVAL_SECONDS_MAX):
                    message = await arrived.get()
            except TimeoutError:  # Somebody else looks at the rest.
                return
            yield message

    async def _send_again(
        self, channel: AbstractChannel, chosen: Sequence[DeliveredMessage]
    ) -> int:
        again = [(tag_of(message), _again(message)) for message in chosen]
        messages = [message for _, message in again]
        gone: list[int] = []
        try:
            refused = await self._publisher.publish(messages, to=self._stream)
            gone = [tag for tag, message in again if message.message_id not in refused]
        except PublishInterrupted as error:
            gone = [tag for tag, message in again if message.message_id in error.confirmed]
            raise
        finally:
            for tag in gone:
                await ask(channel.basic_ack(tag))
        return len(gone)


async def _in_parts(
    messages: AsyncIterator[DeliveredMessage],
) -> AsyncIterator[list[DeliveredMessage]]:
    part: list[DeliveredMessage] = []
    async for message in messages:
        part.append(message)
        if len(part) == AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _again(message: DeliveredMessage) -> OutgoingMessage:
    letter = _stored(message)
    return OutgoingMessage(message_id=letter.message_id, body=letter.body, app_id=letter.client)


def _stored(message: DeliveredMessage) -> StoredDeadLetter:
    properties = message.header.properties
    headers = properties.headers or {}
    code = headers.get(CODE_HEADER) or headers.get("x-first-death-reason") or UNKNOWN
    reason = headers.get(REASON_HEADER) or BROKERS_REASONS.get(str(code), UNKNOWN)
    delivery = Delivery(
        body=message.body,
        app_id=properties.app_id,
        message_id=properties.message_id,
        redelivered=False,
    )
    return StoredDeadLetter(
        message_id=message_id_of(delivery),
        body=message.body,
        code=str(code),
        reason=str(reason),
        client=properties.app_id
        or (str(headers[CLIENT_HEADER]) if CLIENT_HEADER in headers else None),
        died_at=_died_at(properties.timestamp, headers),
    )


def _died_at(published_at: datetime | None, headers: dict[str, Any]) -> datetime | None:
    """Return when a letter died: our own are published at that moment, the broker notes it."""
    if CODE_HEADER in headers:
        return published_at
    deaths = headers.get("x-death")
    died_at = deaths[-1].get("time") if isinstance(deaths, list) and deaths else None
    return died_at if isinstance(died_at, datetime) else None
