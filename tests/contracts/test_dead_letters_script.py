"""The command for dead letters against RabbitMQ: every stream, or one; a typing error is told."""

import json
from argparse import Namespace
from collections.abc import AsyncIterator
from dataclasses import replace
from io import StringIO
from typing import Final
from uuid import UUID, uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from rich.console import Console

from ecs.config import RabbitSettings, Settings
from ecs.domain.streams import STREAMS, Stream
from scripts import dead_letters
from scripts.dead_letters import Choice, settle, show
from tests.amqp import take_all, waiting
from tests.builders import settings_for
from tests.conftest import Database
from tests.contracts.streams_support import broker_of, publishing, until

PERSON: Final = UUID("8a4fd7b2-6f0f-4a55-8d0e-0d2b1b0f8c11")


@pytest.fixture
async def streams(
    rabbitmq: RabbitSettings, device: BlockingChannel
) -> AsyncIterator[dict[str, Stream]]:
    """A stream of this test for each that there is."""
    test = f"test.{uuid4().hex}"
    streams = {
        name: replace(
            stream,
            exchange=test,
            routing_key=name,
            queue=f"{test}.{name}",
            dead_queue=f"{test}.{name}.dead",
            retry_seconds=(),
        )
        for name, stream in STREAMS.items()
    }
    async with publishing(broker_of(rabbitmq)) as publisher:
        for stream in streams.values():
            await publisher.declare(stream)
    yield streams
    for stream in streams.values():
        for queue in stream.queues:
            device.queue_delete(queue)
    device.exchange_delete(test)


@pytest.fixture
def settings(rabbitmq: RabbitSettings, database: Database, redis_url: str) -> Settings:
    return settings_for(database, redis_url, rabbitmq=rabbitmq)


def bury(channel: BlockingChannel, stream: Stream, code: str, *, user_id: UUID) -> None:
    properties = pika.BasicProperties(
        delivery_mode=2, headers={"x-ecs-code": code}, message_id=str(uuid4())
    )
    body = json.dumps({"user_id": str(user_id)}).encode()
    channel.basic_publish("", stream.dead_queue, body, properties, mandatory=True)


def redriving(words: str) -> Namespace:
    return Namespace(redrive=Choice.of(words), discard=None)


def discarding(words: str) -> Namespace:
    return Namespace(redrive=None, discard=Choice.of(words))


async def shown(settings: Settings, streams: dict[str, Stream]) -> str:
    out = StringIO()
    await show(settings, streams, Console(file=out, width=200))
    return out.getvalue()


class TestShow:
    async def test_says_how_many_letters_each_stream_has_and_shows_them(
        self, settings: Settings, streams: dict[str, Stream], device: BlockingChannel
    ) -> None:
        for name, count in (("credit-report", 2), ("decision", 1)):
            for _ in range(count):
                bury(device, streams[name], f"code-of-{name}", user_id=PERSON)
        said = await shown(settings, streams)
        assert f"emotions: no dead letters in {streams['emotions'].dead_queue}" in said
        assert f"credit-report: 2 dead letters in {streams['credit-report'].dead_queue}" in said
        assert "code-of-credit-report 2" in said
        assert "code-of-decision 1" in said
        assert "REDRIVE=all" in said
        assert str(PERSON) not in said

    async def test_offers_nothing_where_there_is_nothing(
        self, settings: Settings, streams: dict[str, Stream]
    ) -> None:
        said = await shown(settings, streams)
        assert said.count("no dead letters") == len(STREAMS)
        assert "REDRIVE" not in said


class TestSettle:
    async def test_sends_again_whatever_is_chosen_in_whichever_stream(
        self, settings: Settings, streams: dict[str, Stream], device: BlockingChannel
    ) -> None:
        for stream in streams.values():
            bury(device, stream, "unprocessable", user_id=PERSON)
            bury(device, stream, "malformed", user_id=PERSON)
        assert await settle(settings, streams, redriving("unprocessable")) is None
        assert [waiting(device, stream.queue) for stream in streams.values()] == [1, 1, 1]

    async def test_leaves_other_streams_alone_when_one_is_named(
        self, settings: Settings, streams: dict[str, Stream], device: BlockingChannel
    ) -> None:
        for stream in streams.values():
            bury(device, stream, "malformed", user_id=PERSON)
        decision = {"decision": streams["decision"]}
        assert await settle(settings, decision, discarding("all")) is None
        left = {name: waiting(device, stream.dead_queue) for name, stream in streams.items()}
        assert left == {"emotions": 1, "credit-report": 1, "decision": 0}

    async def test_removes_whatever_names_a_person(
        self, settings: Settings, streams: dict[str, Stream], device: BlockingChannel
    ) -> None:
        for stream in streams.values():
            bury(device, stream, "malformed", user_id=PERSON)
        bury(device, streams["decision"], "malformed", user_id=uuid4())
        assert await settle(settings, streams, discarding(f"user:{PERSON}")) is None
        decision = streams["decision"].dead_queue
        await until(lambda: waiting(device, decision) == 1, what="the other's letter")
        assert all(str(PERSON).encode() not in taken.body for taken in take_all(device, decision))

    @pytest.mark.parametrize("arguments", [redriving("typo,x"), discarding("typo,x")])
    async def test_complains_when_no_letter_is_chosen(
        self,
        settings: Settings,
        streams: dict[str, Stream],
        device: BlockingChannel,
        arguments: Namespace,
    ) -> None:
        bury(device, streams["decision"], "malformed", user_id=PERSON)
        assert await settle(settings, streams, arguments) == "None is chosen by: typo, x."
        decision = streams["decision"].dead_queue
        await until(lambda: waiting(device, decision) == 1, what="the letter")

    async def test_of_all_is_content_with_none(
        self, settings: Settings, streams: dict[str, Stream]
    ) -> None:
        assert await settle(settings, streams, redriving("all")) is None


def test_an_unknown_stream_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dead_letters", "--stream", "emotion"])
    with pytest.raises(SystemExit) as ended:
        dead_letters.main()
    assert ended.value.code == 2
    assert "emotions" in capsys.readouterr().err
