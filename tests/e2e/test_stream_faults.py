"""The broker dies or freezes under load: both sides go on, nothing confirmed is lost."""

import asyncio
import json
import logging
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Final
from uuid import UUID, uuid4, uuid5

import pytest
from pydantic import SecretStr

from ecs.config import RabbitSettings
from ecs.domain.streams import EMOTIONS, DeadLetter, Delivery, OutgoingMessage, Stream
from ecs.integrations.exceptions import PublishInterrupted
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.consumer import Pace, StreamConsumer
from ecs.integrations.rabbitmq.handling import Handling
from ecs.integrations.rabbitmq.publisher import StreamPublisher
from ecs.integrations.system_clock import utc_now
from scripts.stack import BROKER_ONLY, Stack
from scripts.stack.place import CHECKOUT
from tests.amqp import amqp_channel, take_all
from tests.contracts.streams_support import measuring
from tests.e2e.support import until

log = logging.getLogger(__name__)

FROZEN_SECONDS: Final = 20
# RabbitMQ 3.10 writes its register of quorum queues down when nobody has used it for a moment; a
# queue that was declared in the last second may come back from kill -9 without a log, for good.
SETTLING_SECONDS: Final = 5
BACK_SECONDS_MAX: Final = 20.0
BATCH: Final = 50
WARM_UP: Final = 1000
DEAD_EVERY: Final = 100
RUN: Final = UUID("6a1de5f0-7d6b-4d0e-9a52-0d2b6f6f2a11")


@pytest.fixture(scope="module")
def broker_stack() -> Iterator[Stack]:
    """A broker that may be killed: nobody else uses it."""
    with Stack(parts=BROKER_ONLY, throwaway=True) as running:
        yield running


class Load:
    """Publishes without a pause, handles what comes, and keeps the books."""

    def __init__(self, broker: Broker, stream: Stream) -> None:
        self._broker = broker
        self._stream = stream
        self.confirmed: set[UUID] = set()
        self.handled: set[UUID] = set()
        self.redelivered = 0

    async def publish_for_ever(self) -> None:
        async with self._publisher("load") as publisher:
            for number in count():
                ids = [uuid5(RUN, f"{id(self)}-{number}-{place}") for place in range(BATCH)]
                messages = [OutgoingMessage(message_id=i, body=b"{}", app_id="load") for i in ids]
                try:
                    refused = await publisher.publish(messages, to=self._stream)
                    self.confirmed |= set(ids) - set(refused)
                except PublishInterrupted as error:
                    self.confirmed |= error.confirmed
                    await asyncio.sleep(0.1)
                await asyncio.sleep(0.01)

    async def handle(self, deliveries: Sequence[Delivery]) -> Sequence[DeadLetter]:
        await asyncio.sleep(0.005)
        ids = [UUID(delivery.message_id) for delivery in deliveries]
        self.handled |= set(ids)
        self.redelivered += sum(delivery.redelivered for delivery in deliveries)
        return [
            DeadLetter(message_id=one, body=b"{}", code="malformed", reason="it is", client="load")
            for one in ids
            if one.int % DEAD_EVERY == 0
        ]

    async def consume(self, stopping: asyncio.Event) -> None:
        handling = Handling(
            handle=self.handle,
            can_work=always,
            passing=(),
            publisher=self._publisher("load-dead"),
            stream=self._stream,
        )
        consumer = StreamConsumer(
            self._broker,
            name="load",
            stream=self._stream,
            handling=handling,
            pace=Pace(),
            measured=measuring(self._stream),
        )
        await consumer.run(stopping)

    async def declare(self) -> None:
        async with self._publisher("load-topology") as publisher:
            await publisher.declare(self._stream)

    async def until_more(self, *, seconds: float, than: set[UUID]) -> float:
        """Wait until something was confirmed and handled that was not there before."""

        async def is_alive() -> bool:
            return bool((self.handled & self.confirmed) - than)

        return await until(is_alive, seconds=seconds, what="a confirmed and handled message")

    def _publisher(self, name: str) -> StreamPublisher:
        return StreamPublisher(self._broker, name=name, now=utc_now)


@asynccontextmanager
async def under_load(stack: Stack, stream: Stream) -> AsyncIterator[Load]:
    """A publisher and a consumer at work; in the end all that was confirmed was handled."""
    load = Load(broker_of(stack), stream)
    await load.declare()
    await asyncio.sleep(SETTLING_SECONDS)
    stopping = asyncio.Event()
    consumer = asyncio.create_task(load.consume(stopping))
    publisher = asyncio.create_task(load.publish_for_ever())
    try:
        await until(lambda: _is(len(load.handled) >= WARM_UP), what="the load")
        yield load
        publisher.cancel()
        await asyncio.gather(publisher, return_exceptions=True)
        await until(lambda: _is(load.confirmed <= load.handled), what="all that was confirmed")
        stopping.set()
        await asyncio.wait_for(consumer, 15)
    finally:
        for task in (consumer, publisher):
            task.cancel()
        await asyncio.gather(consumer, publisher, return_exceptions=True)


async def always() -> bool:
    return True


async def _is(condition: object) -> bool:
    return bool(condition)


def settings_of(stack: Stack) -> RabbitSettings:
    return RabbitSettings(
        user=stack.env["RABBITMQ_USER"],
        RABBITMQ_PASS=SecretStr(stack.env["RABBITMQ_PASS"]),
        port=int(stack.env["RABBITMQ_PORT"]),
    )


def broker_of(stack: Stack) -> Broker:
    found = settings_of(stack)
    return Broker(
        host=found.host,
        port=found.port,
        user=found.user,
        password=found.password.get_secret_value(),
    )


@pytest.fixture
def stream() -> Stream:
    name = f"load.{uuid4().hex}"
    return Stream(exchange=name, routing_key="x", queue=f"{name}.in", dead_queue=f"{name}.dead")


class TestTheBroker:
    async def test_killed_loses_nothing_and_is_found_again(
        self, broker_stack: Stack, stream: Stream
    ) -> None:
        async with under_load(broker_stack, stream) as load:
            killed = broker_stack.kill("rabbitmq", signal.SIGKILL)
            before = set(load.confirmed | load.handled)
            await asyncio.to_thread(
                broker_stack.wait_for_restart, "rabbitmq", old_pid=killed, seconds=60
            )
            took = await load.until_more(seconds=BACK_SECONDS_MAX, than=before)
        log.info("killed: at work %.1f s after its return", took)
        self._assert_books(broker_stack, stream, load)

    async def test_frozen_loses_nothing_and_is_found_again(
        self, broker_stack: Stack, stream: Stream
    ) -> None:
        async with under_load(broker_stack, stream) as load:
            broker_stack.kill("rabbitmq", signal.SIGSTOP)
            try:
                await asyncio.sleep(FROZEN_SECONDS)  # Time is the subject.
                before = set(load.confirmed | load.handled)
            finally:
                broker_stack.kill("rabbitmq", signal.SIGCONT)
            took = await load.until_more(seconds=BACK_SECONDS_MAX, than=before)
        log.info("frozen: at work %.1f s after its return", took)
        self._assert_books(broker_stack, stream, load)

    def _assert_books(self, stack: Stack, stream: Stream, load: Load) -> None:
        with amqp_channel(settings_of(stack)) as channel:
            dead = {
                UUID(taken.properties.message_id) for taken in take_all(channel, stream.dead_queue)
            }
        assert load.confirmed <= load.handled
        assert {one for one in load.handled if one.int % DEAD_EVERY == 0} == dead
        log.info(
            "%d confirmed, %d handled, %d redelivered, %d dead",
            *(len(load.confirmed), len(load.handled), load.redelivered, len(dead)),
        )


class TestTheWorker:
    async def test_ends_in_one_line_on_a_queue_of_another_kind(self, broker_stack: Stack) -> None:
        with amqp_channel(settings_of(broker_stack)) as channel:
            channel.queue_delete(EMOTIONS.queue)
            channel.queue_declare(EMOTIONS.queue, durable=True)
            try:
                worker = await _worker(broker_stack)
                output, _ = await asyncio.wait_for(worker.communicate(), 30)
            finally:
                channel.queue_delete(EMOTIONS.queue)
        last = json.loads(output.splitlines()[-1])
        assert worker.returncode == 1
        assert last["event"] == "stream.consumer-ended"
        assert EMOTIONS.queue in last["reason"]
        assert b"Traceback" not in output

    async def test_leaves_at_once_when_told_to_while_it_waits_for_a_database(
        self, broker_stack: Stack
    ) -> None:
        worker = await _worker(broker_stack)
        await _line(worker, "stream.nothing-taken")
        started = time.monotonic()
        worker.terminate()
        await asyncio.wait_for(worker.wait(), 10)
        assert (worker.returncode, time.monotonic() - started < 5) == (0, True)


async def _worker(stack: Stack) -> Process:
    marked = stack.env | {"STACK_ID": stack.place.stack_id, "PYTHONUNBUFFERED": "1"}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.emotions_consumer"), cwd=CHECKOUT, env=marked, stdout=PIPE
    )


async def _line(worker: Process, event: str) -> None:
    assert worker.stdout is not None
    async with asyncio.timeout(30):
        while f'"{event}"'.encode() not in (line := await worker.stdout.readline()):
            assert line, f"the worker ended before {event}"
