"""The part of the composition root that reaches RabbitMQ: who publishes, consumes, looks on."""

from typing import Final

from ecs.config import Settings
from ecs.domain.events import DESTINATIONS
from ecs.domain.streams import STREAMS, Stream
from ecs.domain.telemetry import UNMEASURED, Measures
from ecs.integrations.amqp_publisher import AmqpPublisher
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.consumer import Pace, StreamConsumer
from ecs.integrations.rabbitmq.dead_letters import DeadLetterBox
from ecs.integrations.rabbitmq.handling import CanWork, Handle, Handling
from ecs.integrations.rabbitmq.intake import BatchLimits
from ecs.integrations.rabbitmq.publisher import StreamPublisher
from ecs.integrations.rabbitmq.queue_lengths import QueueLengths
from ecs.integrations.rabbitmq.stream_measures import StreamMeasures
from ecs.integrations.system_clock import utc_now
from ecs.repositories.exceptions import DatabaseError

# How a stream is consumed: in few large transactions, or soon after each message.
PLENTY: Final = Pace()
PROMPT: Final = Pace(prefetch=200, batch=BatchLimits(messages_max=100, seconds_max=0.05))


def stream_publisher(settings: Settings, *, name: str) -> StreamPublisher:
    """Return what publishes to streams and queues; ``name`` is what the broker shows."""
    return StreamPublisher(_broker(settings), name=f"ecs-{name}", now=utc_now)


def stream_consumer(
    settings: Settings,
    *,
    stream: Stream,
    handle: Handle,
    can_work: CanWork,
    pace: Pace = PLENTY,
    measures: Measures = UNMEASURED,
) -> StreamConsumer:
    """Return what gives a stream's messages to ``handle``; a failing database makes it wait."""
    handling = Handling(
        handle=handle,
        can_work=can_work,
        passing=(DatabaseError,),
        publisher=stream_publisher(settings, name=f"{stream.dead_queue}-publisher"),
        stream=stream,
    )
    return StreamConsumer(
        _broker(settings),
        name=f"ecs-{stream.queue}-consumer",
        stream=stream,
        handling=handling,
        pace=pace,
        measured=StreamMeasures(measures=measures, queue=stream.queue, now=utc_now),
    )


def dead_letter_box(settings: Settings, *, stream: Stream) -> DeadLetterBox:
    """Return the dead letters of a stream."""
    return DeadLetterBox(
        _broker(settings),
        name="ecs-dead-letters",
        stream=stream,
        publisher=stream_publisher(settings, name="dead-letters-redrive"),
    )


def event_publisher(settings: Settings) -> AmqpPublisher:
    """Return what carries the outbox to RabbitMQ; it declares what it publishes to."""
    exchanges = {one.partition(":")[2] for one in DESTINATIONS if one.startswith("amqp:")}
    streams = [stream for stream in STREAMS.values() if stream.exchange in exchanges]
    publisher = StreamPublisher(
        _broker(settings), name="ecs-outbox-relay", now=utc_now, streams=streams
    )
    return AmqpPublisher(publisher, streams=streams)


def queue_lengths(settings: Settings) -> QueueLengths:
    """Return what asks how long the queues are."""
    return QueueLengths(_broker(settings), name="ecs-backlog")


def _broker(settings: Settings) -> Broker:
    return Broker(
        host=settings.rabbitmq.host,
        port=settings.rabbitmq.port,
        user=settings.rabbitmq.user,
        password=settings.rabbitmq.password.get_secret_value(),
    )
