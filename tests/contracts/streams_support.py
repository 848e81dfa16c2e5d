"""Streams for the tests: who sends, who handles, and a quicker pace."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from ecs.config import RabbitSettings
from ecs.domain.streams import DeadLetter, Delivery, OutgoingMessage, Stream, letter_id
from ecs.domain.telemetry import UNMEASURED, Measures
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.consumer import Pace, StreamConsumer
from ecs.integrations.rabbitmq.handling import CanWork, Handle, Handling
from ecs.integrations.rabbitmq.intake import BatchLimits
from ecs.integrations.rabbitmq.publisher import StreamPublisher
from ecs.integrations.rabbitmq.stream_measures import StreamMeasures
from tests.amqp import amqp_channel

PATIENCE_SECONDS: Final = 15.0
QUICK: Final = BatchLimits(seconds_max=0.02)


class Passing(Exception):
    """The database is down, say."""


def broker_of(rabbitmq: RabbitSettings, *, port: int | None = None) -> Broker:
    return Broker(
        host=rabbitmq.host,
        port=port or rabbitmq.port,
        user=rabbitmq.user,
        password=rabbitmq.password.get_secret_value(),
    )


def a_message(body: bytes = b"{}", **changes: Any) -> OutgoingMessage:
    values: dict[str, Any] = {"message_id": uuid4(), "body": body, "app_id": "a-client"}
    return OutgoingMessage(**(values | changes))


def a_letter(delivery: Delivery, *, code: str = "malformed") -> DeadLetter:
    return DeadLetter(
        message_id=letter_id(delivery, position=None, body=delivery.body),
        body=delivery.body,
        code=code,
        reason="it is not JSON",
        client=delivery.app_id,
    )


async def always() -> bool:
    return True


@asynccontextmanager
async def publishing(broker: Broker) -> AsyncIterator[StreamPublisher]:
    """A publisher that closes what it has opened."""
    async with StreamPublisher(broker, name="test", now=lambda: datetime.now(UTC)) as publisher:
        yield publisher


class Recorder:
    """A handler that remembers what it was given, and does what it is told before that."""

    def __init__(
        self, first: Callable[[Sequence[Delivery]], Awaitable[None]] | None = None
    ) -> None:
        self.batches: list[list[Delivery]] = []
        self.tried: list[list[Delivery]] = []
        self.dead: set[bytes] = set()
        self._first = first
        self._more = asyncio.Condition()

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for batch in self.batches for delivery in batch]

    async def __call__(self, deliveries: Sequence[Delivery]) -> Sequence[DeadLetter]:
        async with self._more:
            self.tried.append(list(deliveries))
            self._more.notify_all()
        if self._first is not None:
            await self._first(deliveries)
        async with self._more:
            self.batches.append(list(deliveries))
            self._more.notify_all()
        return [a_letter(delivery) for delivery in deliveries if delivery.body in self.dead]

    async def until(self, condition: Callable[["Recorder"], bool]) -> None:
        """Wait until the handler has seen enough."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._more:
            await self._more.wait_for(lambda: bool(self.tried) and condition(self))


@asynccontextmanager
async def copied(stream: Stream, rabbitmq: RabbitSettings) -> AsyncIterator[Stream]:
    """The stream under another name, as this test's own, with short pauses."""
    name = f"test.{uuid4().hex}"
    copy = replace(
        stream, exchange=name, queue=f"{name}.q", dead_queue=f"{name}.dead", retry_seconds=(1, 1)
    )
    async with publishing(broker_of(rabbitmq)) as publisher:
        await publisher.declare(copy)
    yield copy
    with amqp_channel(rabbitmq) as channel:
        for queue in copy.queues:
            channel.queue_delete(queue)
        channel.exchange_delete(copy.exchange)


def a_consumer(  # noqa: PLR0913  (what tests vary)
    broker: Broker,
    stream: Stream,
    handle: Handle,
    *,
    batch: BatchLimits = QUICK,
    handle_seconds_max: float = 30,
    can_work: CanWork = always,
    measures: Measures = UNMEASURED,
    **pace: Any,
) -> StreamConsumer:
    quicker: dict[str, Any] = {
        "batch": batch,
        "watch_seconds": 0.2,
        "backoff_seconds_min": 0.05,
        "backoff_seconds_max": 0.2,
    }
    handling = Handling(
        handle=handle,
        can_work=can_work,
        passing=(Passing,),
        publisher=StreamPublisher(broker, name="test-dead", now=lambda: datetime.now(UTC)),
        stream=stream,
        pauses_seconds=(0.05, 0.1),
        handle_seconds_max=handle_seconds_max,
    )
    return StreamConsumer(
        broker,
        name="test",
        stream=stream,
        handling=handling,
        pace=Pace(**(quicker | pace)),
        measured=measuring(stream, measures),
    )


def measuring(stream: Stream, measures: Measures = UNMEASURED) -> StreamMeasures:
    return StreamMeasures(measures=measures, queue=stream.queue, now=lambda: datetime.now(UTC))


@asynccontextmanager
async def running(consumer: StreamConsumer) -> AsyncIterator[asyncio.Event]:
    """A consumer at work, stopped gracefully at the end; what it raises is raised."""
    stopping = asyncio.Event()
    task = asyncio.create_task(consumer.run(stopping))
    try:
        yield stopping
        stopping.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], *, what: str) -> None:
    """Wait for something that only asking tells, such as what lies in a queue."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        await asyncio.sleep(0.02)
