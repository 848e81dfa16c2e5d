"""Exchanges and queues: declared by everybody who needs them, always in the same words."""

from collections.abc import Awaitable
from typing import Final

from aiormq.abc import ArgumentsType
from aiormq.exceptions import ChannelLockedResource, ChannelPreconditionFailed

from ecs.domain.streams import Stream
from ecs.integrations.exceptions import DestinationUnavailable, TopologyMismatch
from ecs.integrations.rabbitmq.connection import Link, ask

# So many deliveries may end with a crash before the broker gives a message up.
DELIVERIES_MAX: Final = 20
# Without limits: nothing in a dead queue expires, and each look at it is a delivery.
DEAD_QUEUE_ARGUMENTS: Final[ArgumentsType] = {"x-queue-type": "quorum"}


async def declare(link: Link, stream: Stream) -> None:
    """
    Make sure that the stream's exchange and queues are there.

    Raises:
        TopologyMismatch: one of them exists with other arguments.
        DestinationUnavailable: the broker does not answer.
    """
    channel = await link.channel()
    exchange = channel.exchange_declare(stream.exchange, exchange_type="topic", durable=True)
    await _declared(exchange, f"exchange {stream.exchange}")
    for queue, arguments in (
        (stream.dead_queue, DEAD_QUEUE_ARGUMENTS),
        (stream.queue, queue_arguments(stream)),
        *(
            (stream.retry_queue(seconds), retry_queue_arguments(stream, seconds))
            for seconds in stream.pauses_seconds
        ),
    ):
        work = channel.queue_declare(queue, durable=True, arguments=arguments)
        await _declared(work, f"queue {queue}")
    await ask(channel.queue_bind(stream.queue, stream.exchange, routing_key=stream.routing_key))
    await ask(channel.close())


def queue_arguments(stream: Stream) -> ArgumentsType:
    """Return the arguments of a stream's queue, which refuses what is too much."""
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERIES_MAX,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": stream.dead_queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-max-length": stream.length_max,
    }


def retry_queue_arguments(stream: Stream, seconds: int) -> ArgumentsType:
    """Return the arguments of a queue whose messages go back to the stream's after a pause."""
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": stream.queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


async def _declared(work: Awaitable[object], what: str) -> None:
    try:
        await ask(work)
    except DestinationUnavailable as error:
        if isinstance(error.__cause__, ChannelPreconditionFailed | ChannelLockedResource):
            raise TopologyMismatch(_way_out(what, error.__cause__)) from error
        raise


def _way_out(what: str, error: BaseException) -> str:
    return (
        f"RabbitMQ has the {what} with other arguments than ours ({error}). "
        f"Empty it and delete it, then start again: it is declared anew."
    )
