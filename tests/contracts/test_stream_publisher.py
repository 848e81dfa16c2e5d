"""What the publisher of streams promises: each message is confirmed or refused, in time."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.config import RabbitSettings
from ecs.domain.streams import OutgoingMessage, Stream
from ecs.integrations.exceptions import DestinationUnavailable, PublishInterrupted
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.publisher import (
    MESSAGE_BYTES_MAX,
    WINDOW_MESSAGES_MAX,
    StreamPublisher,
    windows,
)
from tests.amqp import amqp_channel, take_all, waiting
from tests.contracts.streams_support import a_message, broker_of, publishing, until
from tests.tcp_proxy import wire_to

NOBODY = Broker(host="127.0.0.1", port=1, user="ecs", password="none")


@pytest.fixture
async def publisher(rabbitmq: RabbitSettings, stream: Stream) -> AsyncIterator[StreamPublisher]:
    async with publishing(broker_of(rabbitmq)) as publisher:
        await publisher.declare(stream)
        yield publisher


class TestPublish:
    async def test_carries_everything_that_identifies_a_message(
        self, publisher: StreamPublisher, rabbitmq: RabbitSettings, stream: Stream
    ) -> None:
        message = a_message(b'{"a": 1}', headers={"x-ecs-code": "malformed"})
        assert await publisher.publish([message], to=stream) == {}
        with amqp_channel(rabbitmq) as channel:
            (taken,) = take_all(channel, stream.queue)
        assert taken.body == b'{"a": 1}'
        assert taken.properties.message_id == str(message.message_id)
        assert taken.properties.app_id == "a-client"
        assert taken.properties.content_type == "application/json"
        assert taken.properties.delivery_mode == 2
        assert taken.headers["x-ecs-code"] == "malformed"

    async def test_carries_many_in_their_order(
        self, publisher: StreamPublisher, rabbitmq: RabbitSettings, stream: Stream
    ) -> None:
        bodies = [str(number).encode() for number in range(WINDOW_MESSAGES_MAX + 100)]
        assert await publisher.publish([a_message(body) for body in bodies], to=stream) == {}
        with amqp_channel(rabbitmq) as channel:
            assert [taken.body for taken in take_all(channel, stream.queue)] == bodies

    async def test_reaches_a_queue_by_its_name(
        self, publisher: StreamPublisher, rabbitmq: RabbitSettings, stream: Stream
    ) -> None:
        assert await publisher.publish([a_message()], to=stream.dead_queue) == {}
        with amqp_channel(rabbitmq) as channel:
            assert len(take_all(channel, stream.dead_queue)) == 1

    async def test_has_nothing_to_say_about_nothing(self) -> None:
        async with publishing(NOBODY) as publisher:
            assert await publisher.publish([], to="anywhere") == {}

    async def test_refuses_what_no_queue_takes(
        self, publisher: StreamPublisher, stream: Stream
    ) -> None:
        message = a_message()
        refused = await publisher.publish([message], to=replace(stream, routing_key="elsewhere"))
        assert set(refused) == {message.message_id}
        assert "NO_ROUTE" in refused[message.message_id]

    async def test_refuses_what_a_full_queue_does_not_take(
        self, publisher: StreamPublisher, rabbitmq: RabbitSettings
    ) -> None:
        name = f"test.{uuid4().hex}"
        small = Stream(
            exchange=name,
            routing_key="event",
            queue=f"{name}.events",
            dead_queue=f"{name}.dead",
            length_max=5,
        )
        await publisher.declare(small)
        messages = [a_message() for _ in range(30)]
        refused = {
            message_id: reason
            for message in messages
            for message_id, reason in (await publisher.publish([message], to=small)).items()
        }
        assert refused
        assert all("full" in reason for reason in refused.values())
        with amqp_channel(rabbitmq) as channel:
            kept = {UUID(taken.properties.message_id) for taken in take_all(channel, small.queue)}
            channel.queue_delete(small.queue)
            channel.queue_delete(small.dead_queue)
            channel.exchange_delete(small.exchange)
        assert kept == {message.message_id for message in messages} - set(refused)

    async def test_carries_the_same_message_twice_if_told_to(
        self, publisher: StreamPublisher, rabbitmq: RabbitSettings, stream: Stream
    ) -> None:
        message = a_message()
        assert await publisher.publish([message, message], to=stream) == {}
        with amqp_channel(rabbitmq) as channel:
            assert len(take_all(channel, stream.queue)) == 2

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param({"body": bytes(MESSAGE_BYTES_MAX + 1)}, id="too large"),
            pytest.param({"app_id": "\ud800"}, id="not UTF-8"),
            pytest.param({"app_id": "x" * 256}, id="too long a name"),
        ],
    )
    async def test_refuses_what_cannot_be_written_and_carries_the_rest(
        self,
        publisher: StreamPublisher,
        rabbitmq: RabbitSettings,
        stream: Stream,
        bad: dict[str, object],
    ) -> None:
        message = replace(a_message(), **bad)  # type: ignore[arg-type]  # checked by the class
        refused = await publisher.publish([a_message(), message, a_message()], to=stream)
        assert set(refused) == {message.message_id}
        with amqp_channel(rabbitmq) as channel:
            assert waiting(channel, stream.queue) == 2

    async def test_says_so_when_the_exchange_is_not_there_and_goes_on_when_it_is(
        self, rabbitmq: RabbitSettings, stream: Stream
    ) -> None:
        async with publishing(broker_of(rabbitmq)) as publisher:
            with pytest.raises(DestinationUnavailable, match="no exchange"):
                await publisher.publish([a_message()], to=stream)
            await publisher.declare(stream)
            assert await publisher.publish([a_message()], to=stream) == {}


class TestWithoutAnAnswer:
    async def test_says_so_when_nobody_listens(self) -> None:
        async with publishing(NOBODY) as publisher:
            started = time.monotonic()
            with pytest.raises(DestinationUnavailable):
                await publisher.publish([a_message()], to="anywhere")
            assert time.monotonic() - started < 2.5

    async def test_says_so_when_the_other_side_is_silent_from_the_start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            broker = replace(NOBODY, port=silent.getsockname()[1])
            async with publishing(broker) as publisher:
                started = time.monotonic()
                with pytest.raises(DestinationUnavailable):
                    await publisher.publish([a_message()], to="anywhere")
                assert time.monotonic() - started < 8

    async def test_says_so_within_seconds_when_the_broker_freezes_and_then_starts_anew(
        self, rabbitmq: RabbitSettings, stream: Stream
    ) -> None:
        async with (
            wire_to(rabbitmq.host, rabbitmq.port) as wire,
            publishing(broker_of(rabbitmq, port=wire.port)) as publisher,
        ):
            await publisher.declare(stream)
            assert await publisher.publish([a_message()], to=stream) == {}
            wire.hold()
            started = time.monotonic()
            with pytest.raises(PublishInterrupted) as interrupted:
                await publisher.publish([a_message(bytes(100_000)) for _ in range(400)], to=stream)
            assert time.monotonic() - started < 8
            assert interrupted.value.confirmed == frozenset()
            wire.release()
            started = time.monotonic()
            assert await publisher.publish([a_message()], to=stream) == {}
            assert time.monotonic() - started < 2

    async def test_tells_what_was_confirmed_before_the_connection_broke(
        self, rabbitmq: RabbitSettings, stream: Stream
    ) -> None:
        async with (
            wire_to(rabbitmq.host, rabbitmq.port) as wire,
            publishing(broker_of(rabbitmq, port=wire.port)) as publisher,
        ):
            await publisher.declare(stream)
            messages = [a_message() for _ in range(20 * WINDOW_MESSAGES_MAX)]
            publish = asyncio.create_task(publisher.publish(messages, to=stream))
            with amqp_channel(rabbitmq) as channel:
                await until(
                    lambda: waiting(channel, stream.queue) > WINDOW_MESSAGES_MAX,
                    what="the second window",
                )
                wire.cut()
                with pytest.raises(PublishInterrupted) as interrupted:
                    await publish
                confirmed = interrupted.value.confirmed
                assert WINDOW_MESSAGES_MAX <= len(confirmed) < len(messages)
                taken = take_all(channel, stream.queue)
            assert confirmed <= {UUID(message.properties.message_id) for message in taken}

    async def test_does_not_stop_the_event_loop_while_it_waits(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            broker = replace(NOBODY, port=silent.getsockname()[1])
            async with publishing(broker) as publisher:
                publish = asyncio.create_task(publisher.publish([a_message()], to="anywhere"))
                turns = 0
                while not publish.done():
                    await asyncio.sleep(0.01)
                    turns += 1
                assert isinstance(publish.exception(), DestinationUnavailable)
                assert turns > 20


class TestWindows:
    @given(
        ids=st.lists(st.uuids(), max_size=30).flatmap(
            lambda known: st.lists(st.sampled_from(known or [uuid4()]), max_size=60)
        )
    )
    def test_hold_every_message_once_in_order_and_no_id_twice(self, ids: list[UUID]) -> None:
        messages = [
            OutgoingMessage(message_id=one, body=b"", app_id=None, headers={"n": str(number)})
            for number, one in enumerate(ids)
        ]
        cut = list(windows(messages))
        assert [message for window in cut for message in window] == messages
        for window in cut:
            assert 1 <= len(window) <= WINDOW_MESSAGES_MAX
            assert len({message.message_id for message in window}) == len(window)

    def test_are_bounded_by_their_size(self) -> None:
        messages = [a_message(bytes(5_000_000)) for _ in range(3)]
        assert [len(window) for window in windows(messages)] == [1, 1, 1]

    def test_are_bounded_by_their_number(self) -> None:
        messages = [a_message() for _ in range(2 * WINDOW_MESSAGES_MAX + 1)]
        sizes = [len(window) for window in windows(messages)]
        assert sizes == [WINDOW_MESSAGES_MAX, WINDOW_MESSAGES_MAX, 1]
