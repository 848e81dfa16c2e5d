"""The consumer of emotional events at work: large letters, no database, forgotten people."""

import json
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from ecs.bootstrap import application
from ecs.config import RabbitSettings
from ecs.domain.streams import Stream
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.dead_letters import DeadLetterBox
from ecs.wire.emotions import MESSAGE_BYTES_MAX
from scripts import forget_user
from tests.amqp import send, take_all, waiting
from tests.builders import NOBODY, settings_for
from tests.conftest import Database
from tests.contracts.streams_support import a_consumer, publishing, running, until
from workers.emotions_consumer import ingest
from workers.streams import can_work

EMOJI = "\U0001f600"
PERSON = UUID("8a4fd7b2-6f0f-4a55-8d0e-0d2b1b0f8c11")


async def test_a_large_item_of_emoji_dies_once_and_can_be_sent_again(
    broker: Broker, stream: Stream, device: BlockingChannel, database: Database, redis_url: str
) -> None:
    item = {"note": EMOJI * ((MESSAGE_BYTES_MAX - 100) // len(EMOJI.encode()))}
    body = json.dumps({"events": [item, 7]}, ensure_ascii=False).encode()
    assert MESSAGE_BYTES_MAX - 100 < len(body) <= MESSAGE_BYTES_MAX
    async with (
        application(settings_for(database, redis_url), name="test") as ecs,
        publishing(broker) as publisher,
    ):
        box = DeadLetterBox(broker, name="test-box", stream=stream, publisher=publisher)
        async with running(a_consumer(broker, stream, partial(ingest, ecs))):
            send(device, stream, body, app_id=str(uuid4()))
            await until(lambda: waiting(device, stream.dead_queue) == 2, what="two letters")
            assert await box.redrive(lambda letter: len(letter.body) > 1) == 1
            await until(lambda: waiting(device, stream.dead_queue) == 2, what="its second death")
    letters = take_all(device, stream.dead_queue)
    assert [json.loads(letter.body) for letter in letters] == [7, item]
    assert {letter.headers["x-ecs-code"] for letter in letters} == {"invalid_field"}
    assert waiting(device, stream.queue) == 0


class TestCanStore:
    async def test_is_so_with_a_migrated_database(self, database: Database, redis_url: str) -> None:
        async with application(settings_for(database, redis_url), name="test") as ecs:
            assert await can_work(ecs)

    async def test_is_not_so_without_its_schema(
        self, empty_database: Database, redis_url: str
    ) -> None:
        async with application(settings_for(empty_database, redis_url), name="test") as ecs:
            assert not await can_work(ecs)

    async def test_is_not_so_without_a_database(self, database: Database, redis_url: str) -> None:
        nowhere = "postgresql://ecs_app:none@127.0.0.1:1/ecs"
        settings = settings_for(database, redis_url, db_url=nowhere)
        async with application(settings, name="test") as ecs:
            assert not await can_work(ecs)


class TestForgetting:
    @pytest.fixture(autouse=True)
    def only_this_stream(self, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(forget_user, "STREAMS", {"emotions": stream})

    async def test_removes_the_dead_letters_that_name_the_person(
        self,
        broker: Broker,
        stream: Stream,
        device: BlockingChannel,
        rabbitmq: RabbitSettings,
        database: Database,
        redis_url: str,
    ) -> None:
        properties = pika.BasicProperties(delivery_mode=2)
        theirs: list[Any] = [{"user_id": str(PERSON)}, {"user_id": str(PERSON).upper()}]
        for content in (*theirs, {"user_id": str(uuid4())}):
            device.basic_publish("", stream.dead_queue, json.dumps(content).encode(), properties)
        settings = settings_for(database, redis_url, rabbitmq=rabbitmq)
        said = await forget_user.discard_letters(settings, PERSON)
        assert said == [f"2 dead letters removed from {stream.dead_queue}."]
        await until(lambda: waiting(device, stream.dead_queue) == 1, what="the other's letter")

    async def test_says_what_to_run_later_when_the_broker_is_away(
        self, database: Database, redis_url: str
    ) -> None:
        settings = settings_for(database, redis_url, rabbitmq=NOBODY)
        [said] = await forget_user.discard_letters(settings, PERSON)
        assert said.endswith(f"run: make dead-letters STREAM=emotions DISCARD=user:{PERSON}")
