"""
Consumes a stream for ever: connects, takes batches, has them handled, acknowledges.

A batch is acknowledged after its handler has committed and what is left of it, dead or postponed,
is confirmed elsewhere. Nothing is ever sent back to the queue, so that no message's delivery count
grows for another's sake; what was not acknowledged comes again when the connection ends, and
handlers know what they have seen.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from ecs.domain.streams import Delivery, Left, Postponed, Stream
from ecs.integrations.exceptions import DestinationUnavailable
from ecs.integrations.rabbitmq import topology
from ecs.integrations.rabbitmq.connection import Broker, Link, ask, tag_of
from ecs.integrations.rabbitmq.handling import ATTEMPT_HEADER, Handling
from ecs.integrations.rabbitmq.intake import BatchLimits, Intake
from ecs.integrations.rabbitmq.stream_measures import StreamMeasures, dead_codes

log = structlog.get_logger(__name__)

PREFETCH: Final = 500
WATCH_SECONDS: Final = 5.0
STOP_SECONDS: Final = 5.0
# At most a second: a steady trickle would never be quiet.
LEAVE_QUIET_SECONDS: Final = 0.1
LEAVE_TRIES: Final = 10
BACKOFF_SECONDS_MIN: Final = 0.5
BACKOFF_SECONDS_MAX: Final = 5.0
# No stream has so many retries; a larger number is nobody's but a stranger's.
ATTEMPTS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much is taken at once, and how long anything may take."""

    prefetch: int = PREFETCH
    batch: BatchLimits = field(default_factory=BatchLimits)
    watch_seconds: float = WATCH_SECONDS
    stop_seconds: float = STOP_SECONDS
    backoff_seconds_min: float = BACKOFF_SECONDS_MIN
    backoff_seconds_max: float = BACKOFF_SECONDS_MAX


class StreamConsumer:
    """One consumer of one stream."""

    def __init__(
        self,
        broker: Broker,
        *,
        name: str,
        stream: Stream,
        handling: Handling,
        pace: Pace,
        measured: StreamMeasures,
    ) -> None:
        self._measured = measured
        self._broker = broker
        self._name = name
        self._stream = stream
        self._handling = handling
        self._pace = pace

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Consume until ``stopping`` is set; then finish what was taken, for five seconds at most.

        Raises:
            TopologyMismatch: the stream's queues were declared otherwise by somebody else.
            HandlerStuck: a handler did not come back; end the process.
        """
        try:
            await self._consume_until(stopping)
        finally:
            await self._handling.publisher.close()
        log.info("stream.consumer-stopped", queue=self._stream.queue)

    async def _consume_until(self, stopping: asyncio.Event) -> None:
        backoff = self._pace.backoff_seconds_min
        while not stopping.is_set():
            started = time.monotonic()
            try:
                await self._consume_once(stopping)
            except DestinationUnavailable as error:
                if time.monotonic() - started > self._pace.backoff_seconds_max * 2:
                    backoff = self._pace.backoff_seconds_min
                log.warning(
                    "stream.connection-lost",
                    queue=self._stream.queue,
                    why=str(error),
                    backoff_s=backoff,
                )
                await _pause(backoff, stopping)
                backoff = min(backoff * 2, self._pace.backoff_seconds_max)

    async def _can_work(self, stopping: asyncio.Event) -> bool:
        """
        Wait until handling has a chance; return False when told to stop.

        Whatever is taken and not handled counts as delivered: an outage of hours, in which the
        broker closes the channel again and again, must not spend what the queue allows.
        """
        pauses = self._handling.pauses()
        while not stopping.is_set():
            if await self._handling.can_work():
                return True
            pause = next(pauses)
            log.warning("stream.nothing-taken", queue=self._stream.queue, pause_s=pause)
            await _pause(pause, stopping)
        return False

    async def _consume_once(self, stopping: asyncio.Event) -> None:
        link = await Link.open(self._broker, name=self._name)
        try:
            await topology.declare(link, self._stream)
            if not await self._can_work(stopping):
                return
            session = await _Session.open(
                link, self._stream, self._handling, self._pace, self._measured
            )
            await session.run(stopping)
        except BaseException:
            link.abort()
            raise
        finally:
            await link.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """The life of one connection, from the first delivery to its end."""

    link: Link
    channel: AbstractChannel
    watching: AbstractChannel
    stream: Stream
    handling: Handling
    pace: Pace
    measured: StreamMeasures
    intake: Intake[DeliveredMessage]
    acknowledging: asyncio.Lock
    cancelled: asyncio.Event
    tag: str

    @classmethod
    async def open(
        cls, link: Link, stream: Stream, handling: Handling, pace: Pace, measured: StreamMeasures
    ) -> "_Session":
        """Start consuming."""
        watching, channel = await link.channel(), await link.channel()
        intake = Intake[DeliveredMessage](pace.batch)
        cancelled = asyncio.Event()
        channel.on_consumer_cancel_callbacks.add(lambda _: cancelled.set())
        await ask(channel.basic_qos(prefetch_count=pace.prefetch))

        async def take(message: DeliveredMessage) -> None:
            intake.put(message, size=len(message.body))

        tag = (await ask(channel.basic_consume(stream.queue, take))).consumer_tag
        assert tag is not None
        log.info("stream.connected", queue=stream.queue)
        return cls(
            link=link,
            channel=channel,
            watching=watching,
            stream=stream,
            handling=handling,
            pace=pace,
            measured=measured,
            intake=intake,
            acknowledging=asyncio.Lock(),
            cancelled=cancelled,
            tag=tag,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping`` is set, or raise why it cannot go on."""
        await first_of(
            self._work(), self._leave(stopping), self._watch(), self._lost(), self._cancelled()
        )

    async def _work(self) -> None:
        while True:
            batch, waited_seconds = await self.intake.batch()
            if not batch:
                break
            started = time.monotonic()
            deliveries = [_delivery(message) for message in batch]
            self.measured.taken(_sent_at(batch, deliveries))
            left = await self.handling.left_of(deliveries)
            await self.handling.put_aside(left)
            async with self.acknowledging:
                await ask(self.channel.basic_ack(tag_of(batch[-1]), multiple=True))
            handled_seconds = time.monotonic() - started
            self.measured.done(deliveries, left, handled_seconds=handled_seconds)
            self._log_batch(deliveries, left, waited=waited_seconds, handled=handled_seconds)
        # The broker reads the channel in order: when it has closed it, it knows every answer.
        await ask(self.channel.close(), seconds=self.pace.stop_seconds)

    async def _leave(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        async with self.acknowledging:
            await self._nothing_on_its_way()
            await ask(self.channel.basic_cancel(self.tag), seconds=self.pace.stop_seconds)
        self.intake.finish()
        await asyncio.sleep(self.pace.stop_seconds)  # The work, when it is done, ends this.
        log.warning("stream.left-unfinished", queue=self.stream.queue)

    async def _nothing_on_its_way(self) -> None:
        """
        Wait until the broker has sent what it may send without an acknowledgement.

        What is on its way to a consumer that leaves counts as delivered once more than it was.
        """
        for _ in range(LEAVE_TRIES):
            taken = self.intake.taken
            await asyncio.sleep(LEAVE_QUIET_SECONDS)
            if self.intake.taken == taken or self.intake.in_hand >= self.pace.prefetch:
                return

    async def _watch(self) -> None:
        """Ask for the queues again and again: a connection may be dead and not know it."""
        while True:
            await asyncio.sleep(self.pace.watch_seconds)
            for queue in self.stream.queues:
                await ask(self.watching.queue_declare(queue, passive=True))
            if self.channel.is_closed:
                raise DestinationUnavailable("the channel was closed")

    async def _lost(self) -> None:
        raise DestinationUnavailable(await self.link.lost())

    async def _cancelled(self) -> None:
        await self.cancelled.wait()
        raise DestinationUnavailable("the broker has cancelled the consumer")

    def _log_batch(
        self,
        deliveries: Sequence[Delivery],
        left: Sequence[Left],
        *,
        waited: float,
        handled: float,
    ) -> None:
        log.info(
            "stream.batch",
            queue=self.stream.queue,
            messages=len(deliveries),
            body_bytes=sum(len(delivery.body) for delivery in deliveries),
            redelivered=sum(delivery.redelivered for delivery in deliveries),
            dead=dict(dead_codes(left)),
            postponed=dict(Counter(one.code for one in left if isinstance(one, Postponed))),
            waited_ms=round(waited * 1000),
            handled_ms=round(handled * 1000),
        )


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Do all of it until the first has ended; stop the others, and raise what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def _pause(seconds: float, stopping: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return


def _delivery(message: DeliveredMessage) -> Delivery:
    properties = message.header.properties
    return Delivery(
        body=message.body,
        app_id=properties.app_id,
        message_id=properties.message_id,
        redelivered=isinstance(message.delivery, Basic.Deliver) and message.delivery.redelivered,
        attempt=attempt_of(properties.headers or {}),
    )


def _sent_at(
    messages: Sequence[DeliveredMessage], deliveries: Sequence[Delivery]
) -> Iterator[datetime | None]:
    """Yield when each was sent; of one that was postponed, it is a retry queue's time as well."""
    for message, delivery in zip(messages, deliveries, strict=True):
        if delivery.attempt == 1:
            yield message.header.properties.timestamp


def attempt_of(headers: Mapping[str, Any]) -> int:
    """Return which attempt a message is; anybody who may publish may have written nonsense."""
    match headers.get(ATTEMPT_HEADER):
        case int(attempt) if 1 <= attempt <= ATTEMPTS_MAX:
            return int(attempt)  # True is one of them.
    return 1
