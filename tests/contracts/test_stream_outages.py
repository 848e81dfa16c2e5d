"""What an outage and a leave cost the messages: nothing that they run out of."""

import asyncio
from collections.abc import Sequence
from typing import Final

from pika.adapters.blocking_connection import BlockingChannel

from ecs.config import RabbitSettings
from ecs.domain.streams import Delivery, Stream
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.intake import BatchLimits
from tests.amqp import send, take_all, waiting
from tests.contracts.streams_support import (
    Passing,
    Recorder,
    a_consumer,
    a_message,
    broker_of,
    publishing,
    running,
    until,
)
from tests.tcp_proxy import wire_to

# Each leave alone would spend a delivery two times out of three, if it took no care.
LEAVES: Final = 10


class Database:
    """Is up or down, and says so."""

    def __init__(self, *, is_up: bool) -> None:
        self.is_up = is_up
        self.asked = 0

    async def can_work(self) -> bool:
        self.asked += 1
        return self.is_up

    async def fail_while_down(self, _: Sequence[Delivery]) -> None:
        if not self.is_up:
            raise Passing

    async def until_asked_again(self, times: int = 3) -> None:
        wanted = self.asked + times
        await until(lambda: self.asked >= wanted, what="a question to the database")


class TestWhileTheDatabaseIsDown:
    async def test_takes_nothing_until_it_is_back(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        send(device, stream, b"1", b"2")
        database, recorder = Database(is_up=False), Recorder()
        consumer = a_consumer(broker, stream, recorder, can_work=database.can_work)
        async with running(consumer):
            await database.until_asked_again()
            assert (recorder.tried, waiting(device, stream.queue)) == ([], 2)
            database.is_up = True
            await recorder.until(lambda seen: len(seen.bodies) == 2)
        assert not any(delivery.redelivered for batch in recorder.tried for delivery in batch)

    async def test_stops_at_once_when_it_is_told_to(self, broker: Broker, stream: Stream) -> None:
        database = Database(is_up=False)
        async with asyncio.timeout(5):
            async with running(a_consumer(broker, stream, Recorder(), can_work=database.can_work)):
                await database.until_asked_again(1)

    async def test_spends_one_delivery_however_often_the_connection_ends_or_the_process_starts(
        self, broker: Broker, stream: Stream, device: BlockingChannel, rabbitmq: RabbitSettings
    ) -> None:
        database = Database(is_up=True)
        recorder = Recorder(database.fail_while_down)
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:
            through_the_wire = broker_of(rabbitmq, port=wire.port)
            consumer = a_consumer(through_the_wire, stream, recorder, can_work=database.can_work)
            async with running(consumer):
                await until(lambda: database.asked > 0, what="the first question")
                database.is_up = False
                send(device, stream, b"1", b"2")
                await recorder.until(lambda seen: len(seen.tried) > 1)
                for _ in range(3):
                    wire.cut()
                    await database.until_asked_again()
        for _ in range(3):
            async with running(a_consumer(broker, stream, recorder, can_work=database.can_work)):
                await database.until_asked_again(1)
        await until(lambda: waiting(device, stream.queue) == 2, what="the messages' return")
        assert [taken.deliveries_before for taken in take_all(device, stream.queue)] == [1, 1]
        assert take_all(device, stream.dead_queue) == []


class TestWhenTheConnectionEnds:
    async def test_waits_for_the_handler_of_the_old_connection_before_it_takes_the_batch_again(
        self, broker: Broker, stream: Stream, device: BlockingChannel, rabbitmq: RabbitSettings
    ) -> None:
        said: list[str] = []

        async def roll_back_slowly(deliveries: Sequence[Delivery]) -> None:
            said.append("begins")
            try:
                if not deliveries[0].redelivered:
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0.5)  # The database takes its time.
                said.append("rolled back")
                raise

        recorder = Recorder(roll_back_slowly)
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:
            consumer = a_consumer(broker_of(rabbitmq, port=wire.port), stream, recorder)
            async with running(consumer):
                send(device, stream, b"1")
                await recorder.until(lambda seen: len(seen.tried) == 1)
                wire.cut()
                await recorder.until(lambda seen: len(seen.bodies) == 1)
        assert said == ["begins", "rolled back", "begins"]


class TestLeaving:
    async def test_spends_no_delivery_of_what_was_on_its_way(
        self, broker: Broker, stream: Stream
    ) -> None:
        async with publishing(broker) as publisher:
            await publisher.publish([a_message() for _ in range(2_000)], to=stream)
        given: list[Delivery] = []
        one_by_one = BatchLimits(messages_max=1)
        for _ in range(LEAVES):
            recorder = Recorder()
            consumer = a_consumer(broker, stream, recorder, batch=one_by_one, prefetch=20)
            async with running(consumer) as stopping:
                await recorder.until(lambda seen: len(seen.bodies) >= 10)
                stopping.set()
            given += [delivery for batch in recorder.tried for delivery in batch]
        assert len(given) >= 10 * LEAVES
        assert not any(delivery.redelivered for delivery in given)
