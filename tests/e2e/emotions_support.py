"""Devices, moods and the broker for the tests that stand outside of the whole system."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import pika
from pika.adapters.blocking_connection import BlockingChannel

from ecs.config import RabbitSettings
from ecs.domain.streams import EMOTIONS, OutgoingMessage
from ecs.integrations.exceptions import PublishInterrupted
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.publisher import StreamPublisher
from ecs.integrations.system_clock import utc_now
from scripts.stack.stack import Stack
from tests.amqp import Taken, amqp_channel, take_all, waiting
from tests.e2e.support import Outside, Person, until

PURPOSE: Final = "emotion.credit_decision"
CONSUMER: Final = "emotions-consumer"

Event = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """A client program whose devices send events, over HTTP and over the broker."""

    world: Outside
    client_id: str
    channel: BlockingChannel = field(repr=False)

    async def consenting(self, person: Person) -> str:
        """Have somebody consent to this client's events; return the consent's id."""
        answer = await self.world.http.post(
            "/api/v1/consents",
            json={"purpose": PURPOSE, "client_id": self.client_id, "locale": "en"},
            headers=person.headers,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def withdraw(self, person: Person) -> None:
        answer = await self.world.http.delete(f"/api/v1/consents/{PURPOSE}", headers=person.headers)
        assert answer.status_code == 204, answer.text

    async def post(self, events: Sequence[Any]) -> dict[str, Any]:
        """Send events over HTTP; return the answer."""
        answer = await self.world.http.post(
            "/api/v1/emotions/ingest",
            json={"events": list(events)},
            headers=self.world.client_headers,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def publish(self, *bodies: Any, app_id: str | None = "") -> None:
        """Send messages as any program would: plain pika, one after the other."""
        properties = pika.BasicProperties(
            app_id=self.client_id if app_id == "" else app_id, delivery_mode=2
        )
        for body in bodies:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.channel.basic_publish("ecs.emotions", "event", raw, properties, mandatory=True)

    async def stored(self) -> dict[str, int]:
        """Return how often each event is stored."""
        rows = await self.world.rows("SELECT event_id FROM emotional_events")
        found: dict[str, int] = {}
        for row in rows:
            found[str(row[0])] = found.get(str(row[0]), 0) + 1
        return found

    async def are_dead(self, count: int) -> None:
        """Wait for so many dead letters."""

        async def are_there() -> bool:
            return await asyncio.to_thread(_dead_letters, self.world.stack) >= count

        await until(are_there, what=f"{count} dead letters")

    async def dead(self, count: int) -> list[Taken]:
        """Wait for so many dead letters, and take all that are there."""
        await self.are_dead(count)
        return take_all(self.channel, EMOTIONS.dead_queue)

    async def settled(self) -> list[Taken]:
        """
        Wait until the consumer has acknowledged everything that was sent before.

        Return the dead letters that came meanwhile.
        """
        marker = uuid4().hex.encode()
        self.publish(marker, app_id=None)
        letters: list[Taken] = []

        async def is_buried() -> bool:
            letters.extend(take_all(self.channel, EMOTIONS.dead_queue))
            return any(letter.body == marker for letter in letters)

        await until(is_buried, what="the last message")
        return [letter for letter in letters if letter.body != marker]

    def batches(self) -> list[dict[str, Any]]:
        return self.world.logged(CONSUMER, event="stream.batch")


@contextmanager
def devices_of(world: Outside, *, purge: bool = True) -> Iterator[Devices]:
    """The demo client's devices, on empty queues unless told otherwise."""
    login = json.loads((world.stack.public / "demo.json").read_text())["clients"][0]
    with amqp_channel(rabbitmq_of(world.stack)) as channel:
        if purge:
            channel.queue_purge(EMOTIONS.queue)
            channel.queue_purge(EMOTIONS.dead_queue)
        yield Devices(world=world, client_id=login["client_id"], channel=channel)


async def flood(stack: Stack, client_id: str, events: Sequence[Event]) -> None:
    """Send messages as fast as the broker confirms them."""
    async with a_publisher(stack) as publisher:
        messages = [a_message(event, client_id) for event in events]
        assert await publisher.publish(messages, to=EMOTIONS) == {}


async def insist(stack: Stack, client_id: str, events: Sequence[Event]) -> None:
    """Send messages a hundred at a time until each is confirmed, whatever the broker does."""
    left = [a_message(event, client_id) for event in events]
    async with a_publisher(stack) as publisher:
        while left:
            try:
                await publisher.publish(left[:100], to=EMOTIONS)
                left = left[100:]
            except PublishInterrupted as error:
                left = [message for message in left if message.message_id not in error.confirmed]
                await asyncio.sleep(0.2)  # The broker is away; nothing tells when it is back.


def a_publisher(stack: Stack) -> StreamPublisher:
    rabbitmq = rabbitmq_of(stack)
    broker = Broker(
        host=rabbitmq.host,
        port=rabbitmq.port,
        user=rabbitmq.user,
        password=rabbitmq.password.get_secret_value(),
    )
    return StreamPublisher(broker, name="flood", now=utc_now)


def a_message(event: Event, client_id: str) -> OutgoingMessage:
    return OutgoingMessage(message_id=uuid4(), body=json.dumps(event).encode(), app_id=client_id)


def rabbitmq_of(stack: Stack) -> RabbitSettings:
    return RabbitSettings.model_validate(
        {
            "host": stack.env["RABBITMQ_HOST"],
            "port": int(stack.env["RABBITMQ_PORT"]),
            "user": stack.env["RABBITMQ_USER"],
            "RABBITMQ_PASS": stack.env["RABBITMQ_PASS"],
        }
    )


def an_event(person: Person, *, age: timedelta = timedelta(hours=1), **changes: Any) -> Event:
    plain = {
        "event_id": str(uuid4()),
        "user_id": str(person.id),
        "captured_at": (datetime.now(UTC) - age).isoformat(),
        "emotion_primary": "happiness",
        "emotion_confidence": 0.9,
        "arousal": 0.1,
        "valence": 0.5,
        "source": "wearable",
    }
    return plain | changes


def mood(person: Person, valence: float, *, count: int = 30) -> list[Event]:
    """A steady mood over the last days."""
    word = "happiness" if valence >= 0 else "sadness"
    return [
        an_event(person, age=timedelta(hours=hour), valence=valence, emotion_primary=word)
        for hour in range(1, count + 1)
    ]


def ids(events: Iterable[Event]) -> dict[str, int]:
    """Return each event's id once: what ``stored`` is to be."""
    return dict.fromkeys((event["event_id"] for event in events), 1)


def _dead_letters(stack: Stack) -> int:
    with amqp_channel(rabbitmq_of(stack)) as channel:
        return waiting(channel, EMOTIONS.dead_queue)
