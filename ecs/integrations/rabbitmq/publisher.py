"""Publishes so that nothing is lost in silence: each message is confirmed or refused."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Protocol, Self
from uuid import UUID

from aiormq.abc import AbstractChannel
from aiormq.exceptions import DeliveryError, PublishError
from pamqp.commands import Basic

from ecs.domain.streams import OutgoingMessage, Stream
from ecs.integrations.exceptions import DestinationUnavailable, PublishInterrupted
from ecs.integrations.rabbitmq import topology
from ecs.integrations.rabbitmq.connection import Broker, abandon, outcome
from ecs.integrations.rabbitmq.kept_channel import KeptChannel

CONFIRM_SECONDS_MAX: Final = 5.0
WINDOW_MESSAGES_MAX: Final = 500
WINDOW_BYTES_MAX: Final = 8 * 1024 * 1024
# The broker closes the channel on a larger one, and the others in flight would suffer for it.
MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
PERSISTENT: Final = 2

# The last two are properties that AMQP cannot hold: such a message was never sent.
REFUSALS: Final = (DeliveryError, TypeError, ValueError)

Target = Stream | str
"""A stream, by its exchange; or the name of a queue, by the broker's default exchange."""


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> datetime:
        """Return the current time, with its zone."""


class StreamPublisher:
    """
    Carries messages to the broker over one connection, opened when it is first needed.

    A broker that does not answer in time loses the connection; the next call opens a new one.
    ``streams`` are declared on each new connection.
    """

    def __init__(
        self, broker: Broker, *, name: str, now: Clock, streams: Sequence[Stream] = ()
    ) -> None:
        self._now = now
        self._kept = KeptChannel(broker, name=name, streams=streams)
        self._turn = asyncio.Lock()

    async def publish(
        self, messages: Sequence[OutgoingMessage], *, to: Target
    ) -> Mapping[UUID, str]:
        """
        Return once every message is confirmed or refused; what is returned is the refusals.

        A window of at most 500 messages is in flight at a time, and is waited for five seconds.

        Raises:
            PublishInterrupted: the broker stopped answering; it says what was confirmed before.
        """
        async with self._turn:
            confirmed: set[UUID] = set()
            refused = {message.message_id: TOO_LARGE for message in messages if _too_large(message)}
            sendable = [message for message in messages if not _too_large(message)]
            try:
                for window in windows(sendable):
                    refusals = await self._publish_window(window, to, confirmed)
                    refused |= refusals
            except DestinationUnavailable as error:
                raise PublishInterrupted(str(error), confirmed=frozenset(confirmed)) from error
            return refused

    async def declare(self, stream: Stream) -> None:
        """Make sure that a stream can be published to."""
        async with self._turn:
            await topology.declare(await self._kept.link(), stream)

    async def __aenter__(self) -> Self:
        """Return itself; the connection is opened when it is needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        await self._kept.close()

    def drop(self) -> None:
        """Drop the connection at once: the next call opens a new one, and declares anew."""
        self._kept.drop()

    async def _publish_window(
        self, window: Sequence[OutgoingMessage], to: Target, confirmed: set[UUID]
    ) -> dict[UUID, str]:
        channel = await self._kept.open()
        sent = {
            asyncio.create_task(self._send(channel, message, to)): message for message in window
        }
        try:
            await asyncio.wait(sent, timeout=CONFIRM_SECONDS_MAX)
            return _refusals(sent, confirmed)
        except BaseException:
            self.drop()
            raise
        finally:
            for task in sent:
                abandon(task)

    async def _send(self, channel: AbstractChannel, message: OutgoingMessage, to: Target) -> object:
        exchange, routing_key = (
            (to.exchange, to.routing_key) if isinstance(to, Stream) else ("", to)
        )
        return await channel.basic_publish(
            message.body,
            exchange=exchange,
            routing_key=routing_key,
            properties=_properties(message, self._now()),
            mandatory=True,
        )


def windows(messages: Sequence[OutgoingMessage]) -> Iterator[list[OutgoingMessage]]:
    """
    Cut messages into what may be in flight together, in order.

    No id is in a window twice: a returned message is told apart by nothing else.
    """
    window: dict[UUID, OutgoingMessage] = {}
    size = 0
    for message in messages:
        size += len(message.body)
        is_full = len(window) == WINDOW_MESSAGES_MAX or size > WINDOW_BYTES_MAX
        if window and (is_full or message.message_id in window):
            yield list(window.values())
            window, size = {}, len(message.body)
        window[message.message_id] = message
    if window:
        yield list(window.values())


TOO_LARGE: Final = f"larger than {MESSAGE_BYTES_MAX} bytes"
UNROUTABLE: Final = "no queue takes it (NO_ROUTE)"
NOT_KEPT: Final = "the queue is full, or cannot keep it now"
# Refusals that are no fault of the message: the same one may be taken later.
PASSING: Final = frozenset({UNROUTABLE, NOT_KEPT})


def _too_large(message: OutgoingMessage) -> bool:
    return len(message.body) > MESSAGE_BYTES_MAX


def _refusals(
    sent: Mapping[asyncio.Task[object], OutgoingMessage], confirmed: set[UUID]
) -> dict[UUID, str]:
    """Sort the answers: into ``confirmed``, into what is returned, or raise for lack of one."""
    refused: dict[UUID, str] = {}
    unanswered: asyncio.Task[object] | None = None
    for task, message in sent.items():
        error = task.exception() if task.done() and not task.cancelled() else None
        if isinstance(error, REFUSALS):
            refused[message.message_id] = _why(error)
        elif task.done() and not task.cancelled() and error is None:
            confirmed.add(message.message_id)
        else:
            unanswered = task
    if unanswered is not None:
        _raise_for(unanswered)
    return refused


def _raise_for(unanswered: asyncio.Task[object]) -> None:
    if unanswered.done():
        outcome(unanswered)
    raise DestinationUnavailable(f"not confirmed within {CONFIRM_SECONDS_MAX:g} s")


def _why(error: BaseException) -> str:
    if isinstance(error, PublishError):
        return UNROUTABLE
    if isinstance(error, DeliveryError):
        return NOT_KEPT
    return f"it cannot be written ({type(error).__name__})"


def _properties(message: OutgoingMessage, now: datetime) -> Basic.Properties:
    headers: dict[str, Any] = dict(message.headers)
    return Basic.Properties(
        message_id=str(message.message_id),
        app_id=message.app_id,
        delivery_mode=PERSISTENT,
        content_type=message.content_type,
        timestamp=now,
        headers=headers,
    )
