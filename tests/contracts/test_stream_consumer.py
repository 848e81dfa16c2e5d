"""What the consumer of streams promises: handled, then acknowledged, and innocents left alone."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from ecs.config import RabbitSettings
from ecs.domain.streams import DeadLetter, Delivery, Stream
from ecs.integrations.exceptions import HandlerStuck, TopologyMismatch
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.intake import BatchLimits
from tests.amqp import amqp_channel, send, take_all, waiting
from tests.contracts.streams_support import (
    Passing,
    Recorder,
    a_consumer,
    a_message,
    broker_of,
    running,
    until,
)
from tests.tcp_proxy import wire_to

PATIENT = BatchLimits(seconds_max=60)
NANOSECONDS = 1_795_000_000_000_000_000


def bodies(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


def has(count: int) -> Any:
    return lambda recorder: len(recorder.bodies) >= count


class TestConsuming:
    async def test_hands_over_what_was_sent_in_order_and_acknowledges_it(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        recorder = Recorder()
        async with running(a_consumer(broker, stream, recorder)):
            send(device, stream, *bodies(50), message_id="message-1")
            await recorder.until(has(50))
        assert recorder.bodies == bodies(50)
        assert recorder.batches[0][0] == Delivery(
            body=b"0", app_id="a-client", message_id="message-1", redelivered=False
        )
        await until(lambda: waiting(device, stream.queue) == 0, what="an empty queue")
        assert take_all(device, stream.dead_queue) == []

    async def test_takes_batches_of_so_many(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        send(device, stream, *bodies(7))
        recorder = Recorder()
        limits = BatchLimits(messages_max=3, seconds_max=60)
        async with running(a_consumer(broker, stream, recorder, batch=limits)):
            await recorder.until(has(6))
        assert [len(batch) for batch in recorder.batches] == [3, 3, 1]

    async def test_takes_batches_of_so_many_bytes(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        send(device, stream, b"a" * 60, b"b" * 30, b"c" * 30, b"d" * 500, b"e")
        recorder = Recorder()
        limits = BatchLimits(bytes_max=100, seconds_max=60)
        async with running(a_consumer(broker, stream, recorder, batch=limits)):
            await recorder.until(has(4))
        sizes = [[len(delivery.body) for delivery in batch] for batch in recorder.batches]
        assert sizes == [[60, 30], [30], [500], [1]]

    async def test_does_not_wait_for_long_for_a_batch_to_fill(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        recorder = Recorder()
        async with running(a_consumer(broker, stream, recorder)):
            send(device, stream, b"alone")
            await recorder.until(has(1))

    async def test_acknowledges_after_the_handler_only(
        self, broker: Broker, stream: Stream, device: BlockingChannel, rabbitmq: RabbitSettings
    ) -> None:
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:

            async def cut_at_first(deliveries: Sequence[Delivery]) -> None:
                if not deliveries[0].redelivered:
                    wire.cut()

            recorder = Recorder(cut_at_first)
            through_the_wire = broker_of(rabbitmq, port=wire.port)
            async with running(a_consumer(through_the_wire, stream, recorder)):
                send(device, stream, *bodies(3))
                await recorder.until(
                    lambda seen: any(delivery.redelivered for delivery in seen.tried[-1])
                )
                await recorder.until(has(3))
        assert set(recorder.bodies) == set(bodies(3))
        await until(lambda: waiting(device, stream.queue) == 0, what="an empty queue")

    async def test_reads_what_the_client_library_cannot_without_harm_to_the_neighbours(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        send(device, stream, b"before")
        send(device, stream, b"odd", timestamp=NANOSECONDS)
        send(device, stream, b"after")
        recorder = Recorder()
        async with running(a_consumer(broker, stream, recorder)):
            await recorder.until(has(3))
        deliveries = [delivery for batch in recorder.batches for delivery in batch]
        assert [delivery.app_id for delivery in deliveries] == ["a-client", None, "a-client"]
        assert not any(delivery.redelivered for delivery in deliveries)


class TestWhatCannotBeUsed:
    async def test_is_buried_with_its_reason_before_the_batch_is_acknowledged(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        recorder = Recorder()
        recorder.dead.add(b"1")
        async with running(a_consumer(broker, stream, recorder)):
            send(device, stream, *bodies(3))
            await recorder.until(has(3))
        (dead,) = take_all(device, stream.dead_queue)
        assert dead.body == b"1"
        assert dead.own_headers == {
            "x-ecs-code": "malformed",
            "x-ecs-reason": "it is not JSON",
            "x-ecs-client": "a-client",
        }
        assert waiting(device, stream.queue) == 0

    async def test_is_found_alone_when_the_handler_fails(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        async def choke(deliveries: Sequence[Delivery]) -> None:
            if any(delivery.body == b"5" for delivery in deliveries):
                raise ZeroDivisionError(b"5")

        send(device, stream, *bodies(10))
        recorder = Recorder(choke)
        async with running(a_consumer(broker, stream, recorder)):
            await recorder.until(has(9))
        assert recorder.bodies == [body for body in bodies(10) if body != b"5"]
        assert not any(delivery.redelivered for batch in recorder.tried for delivery in batch)
        (dead,) = take_all(device, stream.dead_queue)
        assert dead.body == b"5"
        assert dead.headers["x-ecs-code"] == "unprocessable"
        assert dead.headers["x-ecs-reason"] == "handling it failed with ZeroDivisionError"
        assert waiting(device, stream.queue) == 0

    async def test_is_never_lost_when_the_dead_queue_is_missing(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        recorder = Recorder()
        recorder.dead.add(b"bad")
        async with running(a_consumer(broker, stream, recorder)):
            send(device, stream, b"good")
            await recorder.until(has(1))
            device.queue_delete(stream.dead_queue)
            send(device, stream, b"bad")
            await recorder.until(lambda seen: b"bad" in seen.bodies)
            await until(lambda: _lies_in(device, stream.dead_queue), what="the dead letter")
        assert {taken.body for taken in take_all(device, stream.dead_queue)} == {b"bad"}

    async def test_may_have_a_reason_that_no_header_can_hold(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        async def handle(deliveries: Sequence[Delivery]) -> Sequence[DeadLetter]:
            return [
                DeadLetter(
                    message_id=a_message().message_id,
                    body=delivery.body,
                    code="malformed",
                    reason="\ud800" * 2000,
                    client="\udfff" * 300,
                )
                for delivery in deliveries
            ]

        async with running(a_consumer(broker, stream, handle)):
            send(device, stream, b"odd")
            await until(lambda: waiting(device, stream.dead_queue) == 1, what="the dead letter")
        (dead,) = take_all(device, stream.dead_queue)
        assert dead.headers["x-ecs-reason"] == "?" * 500


class TestWhatPasses:
    async def test_holds_the_batch_until_it_has_passed(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        down = asyncio.Event()
        tries = 0

        async def fail_while_down(deliveries: Sequence[Delivery]) -> None:
            nonlocal tries
            tries += 1
            if not down.is_set():
                raise Passing

        send(device, stream, *bodies(20))
        recorder = Recorder(fail_while_down)
        async with running(a_consumer(broker, stream, recorder)):
            await recorder.until(lambda seen: len(seen.tried) >= 4)
            assert waiting(device, stream.queue) == 0
            down.set()
            await recorder.until(has(20))
        assert recorder.bodies == bodies(20)
        assert {tuple(batch) for batch in map(tuple, recorder.tried)} == {tuple(recorder.tried[0])}
        assert not any(delivery.redelivered for batch in recorder.tried for delivery in batch)
        assert take_all(device, stream.dead_queue) == []

    async def test_takes_no_more_than_it_may_hold(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        async def fail(deliveries: Sequence[Delivery]) -> None:
            raise Passing

        send(device, stream, *bodies(30))
        recorder = Recorder(fail)
        async with running(a_consumer(broker, stream, recorder, prefetch=10, stop_seconds=0.2)):
            await recorder.until(lambda seen: len(seen.tried) >= 3)
            assert waiting(device, stream.queue) == 20

    async def test_gives_a_held_batch_up_when_the_connection_dies(
        self, broker: Broker, stream: Stream, device: BlockingChannel, rabbitmq: RabbitSettings
    ) -> None:
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:

            async def fail_at_first(deliveries: Sequence[Delivery]) -> None:
                if not deliveries[0].redelivered:
                    raise Passing

            send(device, stream, *bodies(3))
            recorder = Recorder(fail_at_first)
            consumer = a_consumer(broker_of(rabbitmq, port=wire.port), stream, recorder)
            async with running(consumer):
                await recorder.until(lambda seen: len(seen.tried) >= 2)
                wire.cut()
                await recorder.until(has(3))
        assert sorted(recorder.bodies) == bodies(3)
        assert waiting(device, stream.queue) == 0


class TestStaying:
    async def test_comes_back_at_once_when_its_queue_is_deleted(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        recorder = Recorder()
        async with running(a_consumer(broker, stream, recorder, watch_seconds=60)):
            send(device, stream, b"before")
            await recorder.until(has(1))
            device.queue_delete(stream.queue)
            await until(lambda: _is_sent(device, stream, b"after"), what="a new queue")
            await recorder.until(lambda seen: b"after" in seen.bodies)

    async def test_comes_back_when_the_broker_freezes_with_its_connection(
        self, broker: Broker, stream: Stream, device: BlockingChannel, rabbitmq: RabbitSettings
    ) -> None:
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:
            recorder = Recorder()
            consumer = a_consumer(broker_of(rabbitmq, port=wire.port), stream, recorder)
            async with running(consumer):
                send(device, stream, b"before")
                await recorder.until(has(1))
                wire.hold()
                send(device, stream, b"after")
                await asyncio.sleep(6)  # Longer than an answer may take: time is the subject here.
                assert recorder.bodies == [b"before"]
                wire.release()
                started = time.monotonic()
                await recorder.until(lambda seen: b"after" in seen.bodies)
                assert time.monotonic() - started < 8

    async def test_waits_for_a_broker_that_is_not_there_and_stops_at_once(
        self, stream: Stream
    ) -> None:
        nobody = Broker(host="127.0.0.1", port=1, user="ecs", password="none")
        started = time.monotonic()
        async with running(a_consumer(nobody, stream, Recorder())):
            await asyncio.sleep(0)
        assert time.monotonic() - started < 1

    async def test_refuses_to_start_on_a_queue_of_another_kind(
        self, rabbitmq: RabbitSettings, stream: Stream
    ) -> None:
        with amqp_channel(rabbitmq) as channel:
            channel.queue_declare(stream.queue, durable=True)
        consumer = a_consumer(broker_of(rabbitmq), stream, Recorder())
        with pytest.raises(TopologyMismatch, match=f"the queue {stream.queue} .*delete it"):
            await consumer.run(asyncio.Event())

    async def test_ends_when_its_handler_does_not_come_back(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        async def hang(deliveries: Sequence[Delivery]) -> None:
            await asyncio.Event().wait()

        send(device, stream, b"slow")
        consumer = a_consumer(broker, stream, Recorder(hang), handle_seconds_max=0.1)
        with pytest.raises(HandlerStuck):
            await consumer.run(asyncio.Event())
        await until(lambda: waiting(device, stream.queue) == 1, what="the message's return")


class TestStopping:
    async def test_leaves_the_delivery_counts_of_what_it_did_not_handle(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        async def dawdle(deliveries: Sequence[Delivery]) -> None:
            await asyncio.sleep(0.01)

        send(device, stream, *bodies(400))
        recorder = Recorder(dawdle)
        limits = BatchLimits(messages_max=10, seconds_max=0.02)
        consumer = a_consumer(broker, stream, recorder, batch=limits, prefetch=50)
        async with running(consumer) as stopping:
            await recorder.until(has(60))
            stopping.set()
        left = take_all(device, stream.queue)
        assert len(left) >= 200
        assert recorder.bodies + [taken.body for taken in left] == bodies(400)
        assert {taken.deliveries_before for taken in left} == {0}
        assert not any(taken.redelivered for taken in left)

    async def test_finishes_what_it_has_taken_without_waiting_for_more(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        send(device, stream, *bodies(5))
        recorder = Recorder()
        async with running(a_consumer(broker, stream, recorder, batch=PATIENT)):
            await until(lambda: waiting(device, stream.queue) == 0, what="the delivery")
        assert recorder.bodies == bodies(5)

    async def test_does_not_wait_for_ever_for_a_slow_handler(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        async def hang(deliveries: Sequence[Delivery]) -> None:
            await asyncio.Event().wait()

        send(device, stream, b"slow")
        recorder = Recorder(hang)
        async with running(a_consumer(broker, stream, recorder, stop_seconds=0.3)):
            await recorder.until(lambda seen: len(seen.tried) == 1)
        await until(lambda: waiting(device, stream.queue) == 1, what="the message's return")


def _is_sent(channel: BlockingChannel, stream: Stream, body: bytes) -> bool:
    with suppress(pika.exceptions.UnroutableError):
        send(channel, stream, body)
        return True
    return False


def _lies_in(channel: BlockingChannel, queue: str) -> bool:
    """Return whether something lies in a queue that may be missing for a moment."""
    with channel.connection.channel() as another:
        try:
            return waiting(another, queue) > 0
        except AMQPError:
            return False
