"""What the box of dead letters promises: looking takes nothing, nothing goes unconfirmed."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from ecs.config import RabbitSettings
from ecs.domain.streams import DeadLetter, OutgoingMessage, StoredDeadLetter, Stream
from ecs.integrations.exceptions import DestinationUnavailable, PublishInterrupted
from ecs.integrations.rabbitmq import dead_letters
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.dead_letters import DeadLetterBox
from ecs.integrations.rabbitmq.handling import as_message
from ecs.integrations.rabbitmq.publisher import StreamPublisher, Target
from ecs.integrations.rabbitmq.topology import DELIVERIES_MAX
from ecs.integrations.system_clock import utc_now
from tests.amqp import send, take_all, waiting
from tests.contracts.streams_support import broker_of, publishing, until


def a_box(broker: Broker, stream: Stream) -> DeadLetterBox:
    publisher = StreamPublisher(broker, name="test-again", now=utc_now)
    return DeadLetterBox(broker, name="test-box", stream=stream, publisher=publisher)


def a_letter(number: int, *, code: str = "malformed", client: str | None = "me") -> DeadLetter:
    return DeadLetter(
        message_id=uuid4(),
        body=str(number).encode(),
        code=code,
        reason=f"reason {number}",
        client=client,
    )


@pytest.fixture
def box(rabbitmq: RabbitSettings, stream: Stream) -> DeadLetterBox:
    return a_box(broker_of(rabbitmq), stream)


@pytest.fixture
async def letters(rabbitmq: RabbitSettings, stream: Stream) -> list[DeadLetter]:
    """Ten letters in the dead queue; every third one has an unknown user."""
    letters = [
        a_letter(number, code=("malformed", "x", "unknown_user")[number % 3])
        for number in range(10)
    ]
    async with publishing(broker_of(rabbitmq)) as publisher:
        await publisher.declare(stream)
        await publisher.publish([as_message(letter) for letter in letters], to=stream.dead_queue)
    return letters


def plain(letter: StoredDeadLetter) -> DeadLetter:
    return DeadLetter(
        message_id=letter.message_id,
        body=letter.body,
        code=letter.code,
        reason=letter.reason,
        client=letter.client,
    )


class TestPeek:
    async def test_shows_the_letters_in_their_order_and_takes_none(
        self, box: DeadLetterBox, letters: list[DeadLetter], device: BlockingChannel, stream: Stream
    ) -> None:
        for _ in range(3):
            await until(lambda: waiting(device, stream.dead_queue) == 10, what="all letters")
            found = await box.peek(100)
            assert [plain(letter) for letter in found] == letters
            assert all(letter.died_at is not None for letter in found)

    async def test_shows_no_more_than_asked_for(
        self, box: DeadLetterBox, letters: list[DeadLetter], device: BlockingChannel, stream: Stream
    ) -> None:
        assert [plain(letter) for letter in await box.peek(4)] == letters[:4]
        await until(lambda: waiting(device, stream.dead_queue) == 10, what="all letters")

    async def test_shows_nothing_of_a_stream_that_never_was(self, box: DeadLetterBox) -> None:
        assert (await box.peek(10), await box.count()) == ([], 0)

    async def test_shows_why_the_broker_itself_gave_a_message_up(
        self, box: DeadLetterBox, device: BlockingChannel, stream: Stream
    ) -> None:
        assert await box.count() == 0
        send(device, stream, b"too often", message_id=str(UUID(int=7)))
        for _ in range(DELIVERIES_MAX + 1):
            await until(lambda: _is_refused_once(device, stream), what="a delivery")
        await until(lambda: waiting(device, stream.dead_queue) == 1, what="the dead letter")
        (letter,) = await box.peek(10)
        assert (letter.code, letter.client, letter.body) == (
            "delivery_limit",
            "a-client",
            b"too often",
        )
        assert letter.message_id == UUID(int=7)
        assert letter.died_at is not None

    async def test_says_so_when_there_is_no_broker(self, stream: Stream) -> None:
        box = a_box(Broker(host="127.0.0.1", port=1, user="ecs", password="none"), stream)
        with pytest.raises(DestinationUnavailable):
            await box.peek(10)

    async def test_takes_headers_for_what_they_say_only_if_they_are_words(
        self, box: DeadLetterBox, broker: Broker, device: BlockingChannel, stream: Stream
    ) -> None:
        lies: list[dict[str, Any]] = [
            {"x-ecs-code": {"a": 1}, "x-ecs-reason": [1], "x-ecs-client": True},
            {"x-ecs-code": 7, "x-ecs-reason": b"\xff", "x-ecs-client": utc_now()},
            {"x-first-death-reason": False, "x-death": [1]},
            {"x-death": "yesterday"},
            {"x-death": [{"time": "yesterday"}]},
            {"x-death": []},
        ]
        for headers in lies:
            properties = pika.BasicProperties(headers=headers, delivery_mode=2)
            device.basic_publish("", stream.dead_queue, b"{}", properties)
        found = await box.peek(10)
        assert len(found) == len(lies)
        assert {(letter.code, letter.reason, letter.client) for letter in found} == {
            ("unknown", "unknown", None)
        }
        assert {letter.died_at for letter in found} == {None}


class TestRedrive:
    async def test_sends_the_chosen_ones_as_they_first_came_and_leaves_the_others(
        self, box: DeadLetterBox, letters: list[DeadLetter], device: BlockingChannel, stream: Stream
    ) -> None:
        seen: list[int] = []
        sent = await box.redrive(lambda letter: letter.code == "unknown_user", seen=seen.append)
        chosen = [letter for letter in letters if letter.code == "unknown_user"]
        assert sent == len(chosen) == 3
        assert seen == [10]
        again = take_all(device, stream.queue)
        assert [(taken.body, taken.properties.message_id) for taken in again] == [
            (letter.body, str(letter.message_id)) for letter in chosen
        ]
        assert {taken.properties.app_id for taken in again} == {"me"}
        await until(lambda: waiting(device, stream.dead_queue) == 7, what="the others")

    async def test_keeps_what_the_stream_does_not_take(
        self,
        rabbitmq: RabbitSettings,
        letters: list[DeadLetter],
        device: BlockingChannel,
        stream: Stream,
    ) -> None:
        device.queue_unbind(stream.queue, stream.exchange, stream.routing_key)
        box = a_box(broker_of(rabbitmq), stream)

        def unbound(_: object) -> bool:
            device.queue_unbind(stream.queue, stream.exchange, stream.routing_key)
            return True

        assert await box.redrive(unbound) == 0
        await until(lambda: waiting(device, stream.dead_queue) == 10, what="all letters")

    async def test_sends_everything_when_everything_is_chosen(
        self, box: DeadLetterBox, letters: list[DeadLetter], device: BlockingChannel, stream: Stream
    ) -> None:
        assert await box.redrive(lambda _: True) == 10
        assert await box.count() == 0
        assert waiting(device, stream.queue) == 10

    async def test_keeps_a_letter_that_shares_its_id_with_one_that_was_confirmed(
        self,
        broker: Broker,
        device: BlockingChannel,
        stream: Stream,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        shared = pika.BasicProperties(message_id=str(uuid4()), app_id="me", delivery_mode=2)
        for body in (b"1", b"2", b"3"):
            device.basic_publish("", stream.dead_queue, body, shared)
        async with publishing(broker) as publisher:
            _interrupt(publisher, monkeypatch, at_call=2)
            box = DeadLetterBox(broker, name="test-box", stream=stream, publisher=publisher)
            with pytest.raises(PublishInterrupted):
                await box.redrive(lambda _: True)
        await until(lambda: waiting(device, stream.dead_queue) == 2, what="what was not sent")
        assert [taken.body for taken in take_all(device, stream.queue)] == [b"1"]
        assert [taken.body for taken in take_all(device, stream.dead_queue)] == [b"2", b"3"]

    async def test_reaches_a_letter_behind_more_than_it_may_hold_in_one_hand(
        self,
        box: DeadLetterBox,
        letters: list[DeadLetter],
        device: BlockingChannel,
        stream: Stream,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(dead_letters, "HELD_MAX", 2)
        seen: list[int] = []
        assert await box.redrive(lambda letter: letter.body in {b"3", b"9"}, seen=seen.append) == 2
        assert seen[-1] == len(letters)
        assert [taken.body for taken in take_all(device, stream.queue)] == [b"3", b"9"]
        await until(lambda: waiting(device, stream.dead_queue) == 8, what="the others")
        left = {taken.body for taken in take_all(device, stream.dead_queue)}
        assert left == {letter.body for letter in letters} - {b"3", b"9"}


class TestDiscard:
    async def test_removes_the_chosen_ones_for_good_and_leaves_the_others(
        self, box: DeadLetterBox, letters: list[DeadLetter], device: BlockingChannel, stream: Stream
    ) -> None:
        seen: list[int] = []
        gone = await box.discard(lambda letter: letter.code == "unknown_user", seen=seen.append)
        assert (gone, seen) == (3, [10])
        await until(lambda: waiting(device, stream.dead_queue) == 7, what="the others")
        left = [taken.body for taken in take_all(device, stream.dead_queue)]
        assert left == [letter.body for letter in letters if letter.code != "unknown_user"]
        assert waiting(device, stream.queue) == 0

    async def test_removes_everything_when_everything_is_chosen(
        self, box: DeadLetterBox, letters: list[DeadLetter]
    ) -> None:
        assert await box.discard(lambda _: True) == len(letters)
        assert await box.count() == 0


def _interrupt(
    publisher: StreamPublisher, monkeypatch: pytest.MonkeyPatch, *, at_call: int
) -> None:
    """Have the broker die before it has confirmed anything of one call."""
    calls = count(1)
    publish = publisher.publish

    async def interrupted(messages: Sequence[OutgoingMessage], *, to: Target) -> Mapping[UUID, str]:
        if next(calls) == at_call:
            raise PublishInterrupted("it died", confirmed=frozenset())
        return await publish(messages, to=to)

    monkeypatch.setattr(publisher, "publish", interrupted)


def _is_refused_once(channel: BlockingChannel, stream: Stream) -> bool:
    method, _, _ = channel.basic_get(stream.queue)
    if method is None or method.delivery_tag is None:
        return False
    channel.basic_nack(method.delivery_tag, requeue=True)
    return True
