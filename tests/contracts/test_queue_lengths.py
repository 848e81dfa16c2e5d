"""What is asked of the broker about its queues: how long they are, and nothing else."""

import time

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from ecs.config import RabbitSettings
from ecs.domain.backlog import NO_QUEUE, QueueLength
from ecs.domain.streams import Stream
from ecs.integrations.exceptions import DestinationUnavailable
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.queue_lengths import QueueLengths
from tests.amqp import amqp_channel, send, take_all
from tests.contracts.streams_support import Recorder, a_consumer, broker_of, running, until
from tests.tcp_proxy import wire_to


def so_many(messages: int, *, consumers: int = 0) -> QueueLength:
    return QueueLength(messages=messages, consumers=consumers)


class TestQueueLengths:
    async def test_are_what_waits_and_who_consumes(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        lengths, recorder = QueueLengths(broker, name="test"), Recorder()
        recorder.dead.add(b"2")
        assert await lengths.read(stream.queues) == {
            stream.queue: so_many(0),
            stream.dead_queue: so_many(0),
        }
        send(device, stream, b"1", b"2", b"3")
        assert (await lengths.read([stream.queue]))[stream.queue] == so_many(3)
        async with running(a_consumer(broker, stream, recorder)):
            await recorder.until(lambda seen: len(seen.bodies) == 3)
            await until(lambda: _lies_dead(device, stream), what="the dead letter")
            assert await lengths.read(stream.queues) == {
                stream.queue: so_many(0, consumers=1),
                stream.dead_queue: so_many(1),
            }
        assert (await lengths.read([stream.queue]))[stream.queue] == so_many(0)
        await lengths.close()

    async def test_asked_for_leave_everything_as_it_was(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        send(device, stream, b"1")
        lengths = QueueLengths(broker, name="test")
        for _ in range(5):
            await lengths.read(stream.queues)
        await lengths.close()
        (taken,) = take_all(device, stream.queue)
        assert (taken.redelivered, taken.deliveries_before) == (False, 0)

    async def test_of_a_missing_queue_are_nought_and_hide_no_other(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        send(device, stream, b"1")
        lengths = QueueLengths(broker, name="test")
        device.queue_delete(stream.dead_queue)
        for _ in range(2):
            assert await lengths.read([stream.dead_queue, stream.queue, "test.nothing"]) == {
                stream.dead_queue: NO_QUEUE,
                stream.queue: so_many(1),
                "test.nothing": NO_QUEUE,
            }
        await lengths.close()

    async def test_keep_one_connection_and_open_another_when_it_is_cut(
        self, broker: Broker, stream: Stream, rabbitmq: RabbitSettings
    ) -> None:
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:
            lengths = QueueLengths(broker_of(rabbitmq, port=wire.port), name="test")
            for _ in range(3):
                await lengths.read(stream.queues)
            assert wire.connections == 1
            wire.cut()
            await _read_in_the_end(lengths, stream)
            assert wire.connections == 2
            await lengths.close()

    async def test_are_not_known_while_the_broker_is_frozen(
        self, broker: Broker, stream: Stream, rabbitmq: RabbitSettings
    ) -> None:
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:
            lengths = QueueLengths(broker_of(rabbitmq, port=wire.port), name="test")
            await lengths.read(stream.queues)
            wire.hold()
            started = time.monotonic()
            with pytest.raises(DestinationUnavailable, match="no answer within 5 s"):
                await lengths.read(stream.queues)
            assert time.monotonic() - started < 7
            wire.release()
            assert set(await lengths.read(stream.queues)) == set(stream.queues)
            await lengths.close()

    async def test_are_not_known_without_a_broker(self, stream: Stream) -> None:
        nobody = Broker(host="127.0.0.1", port=1, user="ecs", password="none")
        lengths = QueueLengths(nobody, name="test")
        with pytest.raises(DestinationUnavailable):
            await lengths.read(stream.queues)
        await lengths.close()

    async def test_are_not_known_to_whoever_may_not_look(
        self, broker: Broker, stream: Stream, rabbitmq: RabbitSettings
    ) -> None:
        with amqp_channel(rabbitmq) as channel:
            name = channel.queue_declare("", exclusive=True).method.queue
            lengths = QueueLengths(broker, name="test")
            with pytest.raises(DestinationUnavailable, match="RESOURCE_LOCKED"):
                await lengths.read([name])
            assert set(await lengths.read(stream.queues)) == set(stream.queues)
            await lengths.close()


async def _read_in_the_end(lengths: QueueLengths, stream: Stream) -> None:
    """The first look may be the one that notices the cut."""
    try:
        await lengths.read(stream.queues)
    except DestinationUnavailable:
        await lengths.read(stream.queues)


def _lies_dead(device: BlockingChannel, stream: Stream) -> bool:
    return bool(device.queue_declare(stream.dead_queue, passive=True).method.message_count == 1)
