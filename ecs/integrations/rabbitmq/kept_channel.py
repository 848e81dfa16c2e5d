"""A connection with one channel, opened when it is first needed, and anew after it was lost."""

from collections.abc import Sequence

from aiormq.abc import AbstractChannel

from ecs.domain.streams import Stream
from ecs.integrations.rabbitmq import topology
from ecs.integrations.rabbitmq.connection import Broker, Link


class KeptChannel:
    """``streams`` are declared on each new connection."""

    def __init__(self, broker: Broker, *, name: str, streams: Sequence[Stream] = ()) -> None:
        self._broker = broker
        self._name = name
        self._streams = streams
        self._link: Link | None = None
        self._channel: AbstractChannel | None = None

    async def link(self) -> Link:
        """Return the connection, a new one when there is none."""
        if self._link is None or not self._link.is_open:
            self.drop()
            self._link = await self._connect()
        return self._link

    async def open(self) -> AbstractChannel:
        """Return the channel, a new one when there is none."""
        link = await self.link()
        if self._channel is None or self._channel.is_closed:
            self._channel = await link.channel()
        return self._channel

    async def close(self) -> None:
        """Close the connection, if there is one."""
        link, self._link, self._channel = self._link, None, None
        if link is not None:
            await link.close()

    def drop(self) -> None:
        """Drop the connection at once: the next call opens a new one, and declares anew."""
        link, self._link, self._channel = self._link, None, None
        if link is not None:
            link.abort()

    async def _connect(self) -> Link:
        link = await Link.open(self._broker, name=self._name)
        try:
            for stream in self._streams:
                await topology.declare(link, stream)
        except BaseException:
            link.abort()
            raise
        return link
