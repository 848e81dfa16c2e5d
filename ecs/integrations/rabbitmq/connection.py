"""One connection to the broker: every wait is bounded, every failure is one exception."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar, cast

import aio_pika
from aio_pika.connection import make_url
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.connection import TCPTransportFactory
from pamqp.commands import Basic
from yarl import URL

from ecs.integrations.exceptions import DestinationUnavailable
from ecs.integrations.rabbitmq.tolerant_reader import TolerantReader

ANSWER_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
ABORT_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 20
REASON_CHARACTERS_MAX: Final = 300

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is, and as whom we come."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)


async def ask(work: Awaitable[T], *, seconds: float = ANSWER_SECONDS) -> T:
    """
    Return what the broker answers.

    Raises:
        DestinationUnavailable: it did not within ``seconds``, it refused, or the connection is
            gone; the client library's own exception is the cause.
    """
    task = asyncio.ensure_future(work)
    try:
        # Not ``wait_for``: it would wait for the end of a cancellation that is stuck as well.
        await asyncio.wait({task}, timeout=seconds)
    finally:
        abandon(task)
    if not task.done():
        raise DestinationUnavailable(f"no answer within {seconds:g} s")
    return outcome(task)


def outcome(task: asyncio.Future[T]) -> T:
    """Return the result of a task that has ended, or raise ``DestinationUnavailable``."""
    # The library cancels whatever waits when it closes a connection, and raises bare exceptions.
    if task.cancelled():
        raise DestinationUnavailable("the connection was closed")
    error = task.exception()
    if error is not None:
        raise DestinationUnavailable(reason_of(error)) from error
    return task.result()


def abandon(task: asyncio.Future[Any]) -> None:
    """Stop a task without waiting for its end or for its complaints."""
    if not task.done():
        task.cancel()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def reason_of(error: BaseException) -> str:
    """Return what went wrong, in a line."""
    return f"{type(error).__name__}: {error}"[:REASON_CHARACTERS_MAX]


def tag_of(message: DeliveredMessage) -> int:
    """Return the number by which a message that was taken is acknowledged."""
    assert isinstance(message.delivery, Basic.Deliver | Basic.GetOk)
    assert message.delivery.delivery_tag is not None
    return message.delivery.delivery_tag


class Link:
    """
    A connection that keeps nobody waiting.

    When in doubt it is thrown away: ``abort`` needs no answer from the other side.
    """

    def __init__(self, connection: "_Connection", protocol: AbstractConnection) -> None:
        self._connection = connection
        self._protocol = protocol

    @classmethod
    async def open(cls, broker: Broker, *, name: str) -> Self:
        """Connect, or raise ``DestinationUnavailable``; ``name`` is what the broker shows."""
        connection = _Connection(_url_of(broker, name=name))
        try:
            await ask(connection.connect())
        except BaseException:
            connection.socket.abort()
            raise
        assert connection.transport is not None
        return cls(connection, connection.transport.connection)

    @property
    def is_open(self) -> bool:
        """Whether nobody has noticed an end yet."""
        return not (self._protocol.is_closed or self._connection.socket.is_aborted)

    async def channel(self) -> AbstractChannel:
        """Open a channel on which what is published is confirmed, or returned as an error."""
        return await ask(self._protocol.channel(on_return_raises=True))

    async def lost(self) -> str:
        """Wait for the end of the connection; return why it came."""
        closing = self._protocol.closing
        await asyncio.wait({closing})
        error = None if closing.cancelled() else closing.exception()
        return "the connection was closed" if error is None else reason_of(error)

    async def close(self) -> None:
        """Take leave, but not for longer than two seconds."""
        closing = asyncio.create_task(self._connection.close())
        try:
            await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
        finally:
            self.abort()
        if not closing.done():
            await asyncio.wait({closing}, timeout=ABORT_SECONDS)
        abandon(closing)

    def abort(self) -> None:
        """Drop the connection at once; what waited for it fails."""
        self._connection.socket.abort()


class _Socket(TCPTransportFactory):
    """Remembers the socket of a connection."""

    def __init__(self) -> None:
        self.is_aborted = False
        self._writer: asyncio.StreamWriter | None = None

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self._writer = await super().create(url, **kwargs)
        return cast(asyncio.StreamReader, TolerantReader(reader)), self._writer

    def abort(self) -> None:
        self.is_aborted = True
        if self._writer is not None:
            self._writer.transport.abort()


class _Connection(aio_pika.Connection):
    """Aio-pika's connection with a socket that can be dropped."""

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self.socket = _Socket()
        self.kwargs["transport_factory"] = self.socket

    def __del__(self) -> None:
        """Do nothing, unlike the library: whoever opened it has dropped it, and no loop may run."""


def _url_of(broker: Broker, *, name: str) -> URL:
    return make_url(
        host=broker.host,
        port=broker.port,
        login=broker.user,
        password=broker.password,
        heartbeat=HEARTBEAT_SECONDS,
        name=name,
    )
