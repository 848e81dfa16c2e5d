"""The dead letters of a stream: looked at without taking any, sent again or removed when chosen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from aiormq.abc import AbstractChannel, DeliveredMessage

from ecs.domain.streams import OutgoingMessage, StoredDeadLetter, Stream
from ecs.integrations.exceptions import PublishInterrupted
from ecs.integrations.rabbitmq import topology
from ecs.integrations.rabbitmq.connection import Broker, Link, ask, tag_of
from ecs.integrations.rabbitmq.handling import CLIENT_HEADER, CODE_HEADER, REASON_HEADER
from ecs.integrations.rabbitmq.publisher import StreamPublisher, windows

AT_ONCE: Final = 200
HELD_MAX: Final = 1_000
ARRIVAL_SECONDS_MAX: Final = 2.0
UNKNOWN: Final = "unknown"
BROKERS_REASONS: Final = {
    "delivery_limit": f"not acknowledged after {topology.DELIVERIES_MAX} redeliveries",
    "maxlen": "the queue was full",
    "expired": "it waited for too long",
    "rejected": "it was rejected",
}

Choose = Callable[[StoredDeadLetter], bool]
Seen = Callable[[int], None]
"""Is told how many letters were looked at so far."""


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
        async with self._look() as look:
            return look.count

    async def peek(self, limit: int) -> list[StoredDeadLetter]:
        """Return the oldest letters in their order, or raise ``DestinationUnavailable``."""
        async with self._look() as look:
            return [_stored(message) async for _, part in look.parts(limit) for message in part]

    async def redrive(self, choose: Choose, *, seen: Seen = lambda _: None) -> int:
        """
        Send the chosen ones to the stream again and return how many of them it took.

        Only what the stream has confirmed leaves the dead queue. What dies again meanwhile is not
        looked at twice.

        Raises:
            DestinationUnavailable: the broker stopped answering; what was sent is sent.
        """
        return await self._settle(choose, self._send_again, seen)

    async def discard(self, choose: Choose, *, seen: Seen = lambda _: None) -> int:
        """
        Remove the chosen ones for good and return how many they were.

        Raises:
            DestinationUnavailable: the broker stopped answering; what was removed is gone.
        """
        return await self._settle(choose, _remove, seen)

    async def _settle(self, choose: Choose, settle: "_Settle", seen: Seen) -> int:
        settled = looked_at = 0
        async with self._look() as look:
            async for hand, part in look.parts(look.count):
                chosen = [message for message in part if choose(_stored(message))]
                settled += await settle(hand, chosen)
                looked_at += len(part)
                seen(looked_at)
        return settled

    async def _send_again(self, hand: "_Hand", chosen: Sequence[DeliveredMessage]) -> int:
        letters = iter(chosen)
        sent = 0
        # By windows: in each an id means one letter, and what is confirmed is told by ids.
        for window in windows([self._again(message) for message in chosen]):
            of_id = dict(zip((message.message_id for message in window), letters, strict=False))
            sent += await self._send_window(hand, window, of_id)
        return sent

    async def _send_window(
        self, hand: "_Hand", window: Sequence[OutgoingMessage], of_id: dict[UUID, DeliveredMessage]
    ) -> int:
        gone: frozenset[UUID] = frozenset()
        try:
            refused = await self._publisher.publish(window, to=self._stream)
            gone = frozenset(of_id.keys() - refused.keys())
        except PublishInterrupted as error:
            gone = error.confirmed
            raise
        finally:
            await _remove(hand, [of_id[one] for one in gone])
        return len(gone)

    def _again(self, message: DeliveredMessage) -> OutgoingMessage:
        letter = _stored(message)
        return OutgoingMessage(
            message_id=letter.message_id,
            body=letter.body,
            app_id=letter.client,
            content_type=self._stream.content_type,
        )

    @asynccontextmanager
    async def _look(self) -> AsyncIterator["_Look"]:
        link = await Link.open(self._broker, name=self._name)
        try:
            await topology.declare(link, self._stream)
            look = await _Look.begin(link, self._stream.dead_queue)
            yield look
            await look.end()
        finally:
            await link.close()
            await self._publisher.close()


class _Look:
    """
    One pass over a queue, from its oldest letter to the newest that was there at the beginning.

    What nobody chooses is held until the end, or it would come again at once.
    """

    def __init__(self, link: Link, queue: str, *, count: int) -> None:
        self._link = link
        self._queue = queue
        self._hands: list[_Hand] = []
        self.count = count

    @classmethod
    async def begin(cls, link: Link, queue: str) -> "_Look":
        channel = await link.channel()
        answer = await ask(channel.queue_declare(queue, passive=True))
        await ask(channel.close())
        return cls(link, queue, count=answer.message_count or 0)

    async def parts(self, limit: int) -> AsyncIterator[tuple["_Hand", list[DeliveredMessage]]]:
        """Yield up to ``limit`` letters in parts, each with the hand that holds them."""
        left = min(limit, self.count)
        while left > 0:
            if not self._hands or self._hands[-1].is_full:
                self._hands.append(await _Hand.open(self._link, self._queue))
            part = await self._hands[-1].take(left)
            if not part:  # Somebody else looks at the rest.
                return
            left -= len(part)
            yield self._hands[-1], part

    async def end(self) -> None:
        """Give back what is held, the oldest first."""
        for hand in self._hands:
            await ask(hand.channel.close())


class _Hand:
    """A channel that holds as many letters as the client is willing to keep in memory."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self._arrived = asyncio.Queue[DeliveredMessage]()
        self._held = 0

    @classmethod
    async def open(cls, link: Link, queue: str) -> "_Hand":
        hand = cls(await link.channel())
        await ask(hand.channel.basic_qos(prefetch_count=HELD_MAX))
        await ask(hand.channel.basic_consume(queue, hand._arrived.put))
        return hand

    @property
    def is_full(self) -> bool:
        return self._held >= HELD_MAX

    async def take(self, count: int) -> list[DeliveredMessage]:
        """Return the next few; none when nothing comes any more."""
        taken: list[DeliveredMessage] = []
        while len(taken) < min(count, AT_ONCE, HELD_MAX - self._held):
            try:
                async with asyncio.timeout(ARRIVAL_SECONDS_MAX):
                    taken.append(await self._arrived.get())
            except TimeoutError:
                break
        self._held += len(taken)
        return taken

    async def remove(self, message: DeliveredMessage) -> None:
        await ask(self.channel.basic_ack(tag_of(message)))
        self._held -= 1


_Settle = Callable[[_Hand, Sequence[DeliveredMessage]], Awaitable[int]]


async def _remove(hand: _Hand, chosen: Sequence[DeliveredMessage]) -> int:
    for message in chosen:
        await hand.remove(message)
    return len(chosen)


def _stored(message: DeliveredMessage) -> StoredDeadLetter:
    properties = message.header.properties
    # Anybody who may publish may have written them: they are words, or they are nothing.
    headers: dict[str, Any] = properties.headers or {}
    words = {name: value for name, value in headers.items() if isinstance(value, str) and value}
    code = words.get(CODE_HEADER) or _died_of(headers) or UNKNOWN
    return StoredDeadLetter(
        message_id=_message_id(properties.message_id, message.body),
        body=message.body,
        code=code,
        reason=words.get(REASON_HEADER) or BROKERS_REASONS.get(code, UNKNOWN),
        client=properties.app_id or words.get(CLIENT_HEADER) or None,
        died_at=_died_at(properties.timestamp, headers),
    )


def _message_id(written: str | None, body: bytes) -> UUID:
    """Return a message's own id if it is a UUID, else one that the same body gets each time."""
    try:
        return UUID(written)
    except (TypeError, ValueError, AttributeError):
        return uuid5(NAMESPACE_OID, body.hex())


def _died_at(published_at: datetime | None, headers: dict[str, Any]) -> datetime | None:
    """Return when a letter died: our own are published at that moment, the broker notes it."""
    if CODE_HEADER in headers:
        return published_at
    match _last_death(headers):
        case {"time": datetime() as died_at}:
            return died_at
    return None


def _died_of(headers: dict[str, Any]) -> str | None:
    match _last_death(headers):
        case {"reason": str(reason)}:
            return reason
    return None


def _last_death(headers: dict[str, Any]) -> object:
    """Return the newest of the broker's notes; whoever was postponed has an older one as well."""
    match headers.get("x-death"):
        case [newest, *_]:
            return newest
    return None
