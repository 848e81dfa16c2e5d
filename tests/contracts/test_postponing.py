"""What postponing promises: a message comes back after its pause, once, or dies with a reason."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from ecs.config import RabbitSettings
from ecs.domain.streams import CREDIT_REPORTS, Delivery, OutgoingMessage, Postponed, Stream
from ecs.integrations.exceptions import TopologyMismatch
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.dead_letters import DeadLetterBox
from ecs.integrations.rabbitmq.topology import DELIVERIES_MAX
from tests.amqp import Taken, send, take_all, waiting
from tests.contracts.streams_support import (
    Recorder,
    a_consumer,
    broker_of,
    copied,
    publishing,
    running,
    until,
)
from tests.tcp_proxy import wire_to

CODE: Final = "bureau_unavailable"


@pytest.fixture
async def patient(rabbitmq: RabbitSettings) -> AsyncIterator[Stream]:
    """A stream of ours on which a message may be postponed twice, for a second each time."""
    async with copied(CREDIT_REPORTS, rabbitmq) as stream:
        yield stream


@pytest.fixture
def to(rabbitmq: RabbitSettings) -> Broker:
    return broker_of(rabbitmq)


class Postponing(Recorder):
    """A handler that postpones whatever is ``early``, and remembers when it came."""

    def __init__(self, early: Callable[[Delivery], bool], **words: Any) -> None:
        super().__init__(**words)
        self._early = early
        self.came: list[tuple[Delivery, float]] = []

    async def __call__(self, deliveries: Sequence[Delivery]) -> list[Any]:
        self.came += [(delivery, time.monotonic()) for delivery in deliveries]
        dead = await super().__call__(deliveries)
        return [
            *dead,
            *(
                Postponed(delivery=delivery, code=CODE, reason="The bureau gave no score.")
                for delivery in deliveries
                if self._early(delivery)
            ),
        ]

    @property
    def attempts(self) -> list[int]:
        return [delivery.attempt for delivery, _ in self.came]


def first(delivery: Delivery) -> bool:
    return delivery.attempt == 1


class TestAPostponedMessage:
    async def test_comes_back_after_its_pause_as_it_was_and_once(
        self, to: Broker, patient: Stream, device: BlockingChannel
    ) -> None:
        handler, message_id = Postponing(first), str(uuid4())
        async with running(a_consumer(to, patient, handler)):
            send(device, patient, b"1", message_id=message_id)
            await handler.until(lambda seen: len(seen.bodies) == 2)
        (early, sent), (late, back) = handler.came
        assert late == replace(early, attempt=2)
        assert late.message_id == message_id
        assert 0.9 < back - sent < 5
        assert [waiting(device, queue) for queue in patient.queues] == [0, 0, 0]

    async def test_is_said_to_be_a_cloudevent_wherever_it_is_put(
        self, to: Broker, patient: Stream, device: BlockingChannel
    ) -> None:
        async with running(a_consumer(to, patient, Postponing(lambda _: True))):
            send(device, patient, b"1")
            paused = await _first_of(device, patient.retry_queue(1))
            send(device, patient, b"2", b"3", headers={"x-ecs-attempt": 3})
            await until(lambda: waiting(device, patient.dead_queue) == 2, what="the dead letters")
        _, dead, _ = device.basic_get(patient.dead_queue, auto_ack=True)
        assert dead is not None
        async with publishing(to) as publisher:
            box = DeadLetterBox(to, name="test-box", stream=patient, publisher=publisher)
            assert await box.redrive(lambda _: True) == 1
        again = await _first_of(device, patient.queue)
        types = {one.content_type for one in (paused.properties, dead, again.properties)}
        assert types == {"application/cloudevents+json"}

    async def test_lets_its_neighbours_go_on(
        self, to: Broker, patient: Stream, device: BlockingChannel
    ) -> None:
        handler = Postponing(lambda delivery: delivery.body == b"1" and first(delivery))
        async with running(a_consumer(to, patient, handler)):
            send(device, patient, b"0", b"1", b"2")
            await handler.until(lambda seen: len(seen.bodies) == 4)
        assert handler.bodies == [b"0", b"1", b"2", b"1"]

    async def test_is_dead_with_its_code_and_its_reason_when_its_pauses_are_used_up(
        self, to: Broker, patient: Stream, device: BlockingChannel
    ) -> None:
        handler, message_id = Postponing(lambda _: True), str(uuid4())
        async with running(a_consumer(to, patient, handler)):
            send(device, patient, b"1", message_id=message_id)
            await until(lambda: waiting(device, patient.dead_queue) == 1, what="the dead letter")
        assert handler.attempts == [1, 2, 3]
        (dead,) = take_all(device, patient.dead_queue)
        assert dead.headers["x-ecs-code"] == CODE
        assert dead.headers["x-ecs-reason"] == "The bureau gave no score."
        assert dead.properties.message_id == message_id

    async def test_starts_from_the_beginning_when_it_is_sent_again(
        self, to: Broker, patient: Stream, device: BlockingChannel
    ) -> None:
        handler, message_id = Postponing(lambda _: True), str(uuid4())
        async with running(a_consumer(to, patient, handler)), publishing(to) as publisher:
            send(device, patient, b"1", message_id=message_id, headers={"x-ecs-attempt": 3})
            await until(lambda: waiting(device, patient.dead_queue) == 1, what="the dead letter")
            box = DeadLetterBox(to, name="test-box", stream=patient, publisher=publisher)
            assert await box.redrive(lambda letter: letter.code == CODE) == 1
            await handler.until(lambda _: len(handler.came) >= 2)
        again = handler.came[1][0]
        assert (again.message_id, again.attempt, again.body) == (message_id, 1, b"1")

    async def test_is_not_lost_when_its_queue_is_missing(
        self, to: Broker, patient: Stream, device: BlockingChannel
    ) -> None:
        handler = Postponing(first)
        async with running(a_consumer(to, patient, handler)):
            send(device, patient, b"good", headers={"x-ecs-attempt": 2})
            await handler.until(lambda seen: len(seen.bodies) == 1)
            device.queue_delete(patient.retry_queue(1))
            send(device, patient, b"1")
            await handler.until(lambda _: 2 in handler.attempts[1:])

    async def test_names_the_death_it_died_and_not_its_pauses(
        self, to: Broker, patient: Stream, device: BlockingChannel
    ) -> None:
        handler = Postponing(first)
        async with running(a_consumer(to, patient, handler)):
            send(device, patient, b"1")
            await until(lambda: waiting(device, patient.retry_queue(1)) == 1, what="the pause")
        for _ in range(DELIVERIES_MAX + 1):
            await until(lambda: _is_refused_once(device, patient), what="a delivery")
        await until(lambda: waiting(device, patient.dead_queue) == 1, what="the dead letter")
        async with publishing(to) as publisher:
            box = DeadLetterBox(to, name="test-box", stream=patient, publisher=publisher)
            [letter] = await box.peek(10)
        assert (letter.code, letter.body) == ("delivery_limit", b"1")


class TestACrash:
    async def test_between_postponing_and_acknowledging_doubles_and_never_loses(
        self, to: Broker, patient: Stream, device: BlockingChannel, rabbitmq: RabbitSettings
    ) -> None:
        """The wire of the consumer is cut when its message lies in the retry queue."""
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:
            handler = Postponing(first)
            consumer = a_consumer(broker_of(rabbitmq, port=wire.port), patient, handler)
            publisher = consumer._handling.publisher
            publish = publisher.publish

            async def publish_and_die(messages: Sequence[OutgoingMessage], *, to: Any) -> Any:
                done = await publish(messages, to=to)
                if len(handler.came) == 1:
                    wire.cut()
                    await asyncio.Event().wait()
                return done

            publisher.publish = publish_and_die  # type: ignore[method-assign]  # a crash
            async with running(consumer):
                send(device, patient, b"1", message_id=str(uuid4()))
                await handler.until(lambda _: handler.attempts.count(2) == 2)
        assert handler.attempts == [1, 1, 2, 2]
        assert len({delivery.message_id for delivery, _ in handler.came}) == 1
        assert [waiting(device, queue) for queue in patient.queues] == [0, 0, 0]

    async def test_of_the_connection_at_any_moment_loses_nothing(
        self, to: Broker, patient: Stream, device: BlockingChannel, rabbitmq: RabbitSettings
    ) -> None:
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:
            handler = Postponing(first)
            async with running(a_consumer(broker_of(rabbitmq, port=wire.port), patient, handler)):
                send(device, patient, *(str(number).encode() for number in range(20)))
                for _ in range(10):
                    wire.cut()
                    await asyncio.sleep(0.05)  # Cuts at ten moments: time is the subject here.
                await handler.until(lambda _: len(_second(handler)) == 20)
        assert take_all(device, patient.dead_queue) == []


class TestAStranger:
    @pytest.mark.parametrize(
        "written", [0, -1, 1001, 2**40, True, "2", "x", b"\x02", [2], {"a": 2}, None]
    )
    async def test_who_writes_the_attempt_is_not_believed(
        self, to: Broker, patient: Stream, device: BlockingChannel, written: object
    ) -> None:
        handler = Postponing(lambda _: False)
        async with running(a_consumer(to, patient, handler)):
            send(device, patient, b"1", headers={"x-ecs-attempt": written})
            await handler.until(lambda seen: len(seen.bodies) == 1)
        assert handler.attempts == [1]

    async def test_who_writes_a_possible_attempt_ends_his_own_message_only(
        self, to: Broker, patient: Stream, device: BlockingChannel
    ) -> None:
        handler = Postponing(lambda _: True)
        async with running(a_consumer(to, patient, handler)):
            send(device, patient, b"1", headers={"x-ecs-attempt": 1000})
            await until(lambda: waiting(device, patient.dead_queue) == 1, what="the dead letter")

    async def test_who_declared_a_retry_queue_otherwise_is_named(
        self, patient: Stream, device: BlockingChannel, to: Broker
    ) -> None:
        queue = patient.retry_queue(1)
        device.queue_delete(queue)
        device.queue_declare(queue, durable=True)
        with pytest.raises(TopologyMismatch, match=f"the queue {queue} .*delete it"):
            await a_consumer(to, patient, Recorder()).run(asyncio.Event())


async def _first_of(channel: BlockingChannel, queue: str) -> Taken:
    """Take a message before its time is up."""
    taken: list[Taken] = []

    def has_come() -> bool:
        taken.extend(take_all(channel, queue))
        return bool(taken)

    await until(has_come, what="a message")
    return taken[0]


def _second(handler: Postponing) -> set[bytes]:
    return {delivery.body for delivery, _ in handler.came if delivery.attempt == 2}


def _is_refused_once(channel: BlockingChannel, stream: Stream) -> bool:
    method, _, _ = channel.basic_get(stream.queue)
    if method is None or method.delivery_tag is None:
        return False
    channel.basic_nack(method.delivery_tag, requeue=True)
    return True
