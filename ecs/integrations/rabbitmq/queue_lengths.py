"""Asks how long queues are, without declaring, taking or changing anything."""

from collections.abc import Sequence
from typing import Final

from aiormq.exceptions import ChannelNotFoundEntity

from ecs.domain.backlog import NO_QUEUE, QueueLength
from ecs.integrations.exceptions import DestinationUnavailable
from ecs.integrations.rabbitmq.connection import Broker, ask
from ecs.integrations.rabbitmq.kept_channel import KeptChannel

# The broker's words for a queue that does not exist. With the same code it speaks of queues that
# exist and cannot be reached: nobody knows what lies in those.
MISSING: Final = "no queue '"


class QueueLengths:
    """
    One connection, opened when it is first needed, and anew after it was lost.

    A queue that is missing has neither messages nor consumers: so it is, and whoever needs it
    declares it. Of a quorum queue without a leader RabbitMQ says the same: whoever reads nought
    looks at the consumers as well.
    """

    def __init__(self, broker: Broker, *, name: str) -> None:
        self._kept = KeptChannel(broker, name=name)

    async def read(self, queues: Sequence[str]) -> dict[str, QueueLength]:
        """Return the lengths of all of them, or raise ``DestinationUnavailable``."""
        try:
            return {queue: await self._length(queue) for queue in queues}
        except BaseException:
            self._kept.drop()
            raise

    async def close(self) -> None:
        """Close the connection, if there is one."""
        await self._kept.close()

    async def _length(self, queue: str) -> QueueLength:
        channel = await self._kept.open()
        try:
            answer = await ask(channel.queue_declare(queue, passive=True))
        except DestinationUnavailable as error:
            if _is_missing(error.__cause__):
                return NO_QUEUE  # The broker has closed the channel: the next queue opens another.
            raise
        assert answer is not None
        return QueueLength(messages=answer.message_count or 0, consumers=answer.consumer_count or 0)


def _is_missing(error: BaseException | None) -> bool:
    return isinstance(error, ChannelNotFoundEntity) and MISSING in str(error)
