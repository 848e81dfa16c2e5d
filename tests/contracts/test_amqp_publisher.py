"""What carries events to RabbitMQ promises: confirmed, refused for its own fault, or kept."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from ecs.bootstrap import Application, application
from ecs.config import RabbitSettings
from ecs.domain.events import ApplicationSubmitted, Cause, OutboxMessage
from ecs.domain.streams import CREDIT_REPORTS, Stream
from ecs.integrations.amqp_publisher import AmqpPublisher
from ecs.integrations.exceptions import (
    DestinationUnavailable,
    PublishInterrupted,
    TopologyMismatch,
)
from ecs.integrations.rabbitmq.publisher import MESSAGE_BYTES_MAX, StreamPublisher
from ecs.integrations.system_clock import utc_now
from ecs.services.outbox_service import OutboxService
from tests.amqp import amqp_channel, take_all, waiting
from tests.builders import connected, settings_for
from tests.conftest import Database
from tests.contracts.streams_support import broker_of
from tests.tcp_proxy import wire_to

CREATED_AT: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """An exchange of this test with two streams."""

    first: Stream
    second: Stream

    @property
    def streams(self) -> tuple[Stream, Stream]:
        return self.first, self.second

    @property
    def destination(self) -> str:
        return f"amqp:{self.first.exchange}"

    def message(self, stream: Stream | None = None, **changes: Any) -> OutboxMessage:
        values: dict[str, Any] = {
            "id": uuid4(),
            "name": (stream or self.first).routing_key,
            "kind": "k",
            "destination": self.destination,
            "payload": {"application_id": "1"},
            "request_id": "req-1",
            "attempt": 1,
            "created_at": CREATED_AT,
        }
        return OutboxMessage(**(values | changes))


@pytest.fixture
async def domain(rabbitmq: RabbitSettings) -> AsyncIterator[Domain]:
    name = f"test.{uuid4().hex}"
    first, second = (
        Stream(
            exchange=name,
            routing_key=f"{name}.{which}",
            queue=f"{name}.{which}",
            dead_queue=f"{name}.{which}.dead",
            length_max=length_max,
        )
        for which, length_max in (("first", 5), ("second", 1000))
    )
    yield Domain(first=first, second=second)
    with amqp_channel(rabbitmq) as channel:
        for queue in (*first.queues, *second.queues):
            channel.queue_delete(queue)
        channel.exchange_delete(name)


@asynccontextmanager
async def carrying(
    rabbitmq: RabbitSettings, domain: Domain, *, port: int | None = None, seconds_max: float = 10
) -> AsyncIterator[AmqpPublisher]:
    streams = StreamPublisher(
        broker_of(rabbitmq, port=port), name="test", now=utc_now, streams=domain.streams
    )
    publisher = AmqpPublisher(streams, streams=domain.streams, seconds_max=seconds_max)
    try:
        yield publisher
    finally:
        await publisher.close()


@pytest.fixture
async def publisher(rabbitmq: RabbitSettings, domain: Domain) -> AsyncIterator[AmqpPublisher]:
    async with carrying(rabbitmq, domain) as publisher:
        yield publisher


class TestAnEvent:
    async def test_arrives_as_a_cloudevent_with_its_ids(
        self, publisher: AmqpPublisher, domain: Domain, device: BlockingChannel
    ) -> None:
        message = domain.message(payload={"application_id": "7", "cibil_score": 700})
        assert await publisher.publish([message]) == {}
        (taken,) = take_all(device, domain.first.queue)
        assert json.loads(taken.body) == {
            "specversion": "1.0",
            "id": str(message.id),
            "source": "/ecs",
            "type": domain.first.routing_key,
            "time": "2026-11-21T12:00:00+00:00",
            "datacontenttype": "application/json",
            "requestid": "req-1",
            "data": {"application_id": "7", "cibil_score": 700},
        }
        assert taken.properties.message_id == str(message.id)
        assert taken.properties.content_type == "application/cloudevents+json"
        assert taken.properties.delivery_mode == 2

    async def test_of_no_request_names_none(
        self, publisher: AmqpPublisher, domain: Domain, device: BlockingChannel
    ) -> None:
        await publisher.publish([domain.message(request_id=None)])
        (taken,) = take_all(device, domain.first.queue)
        assert "requestid" not in json.loads(taken.body)

    async def test_goes_to_the_stream_of_its_name(
        self, publisher: AmqpPublisher, domain: Domain, device: BlockingChannel
    ) -> None:
        await publisher.publish([domain.message(), domain.message(domain.second)])
        assert [waiting(device, stream.queue) for stream in domain.streams] == [1, 1]


class TestPublish:
    async def test_refuses_what_never_can_be_carried_and_carries_the_rest(
        self, publisher: AmqpPublisher, domain: Domain, device: BlockingChannel
    ) -> None:
        bad = [
            domain.message(name="unheard.of"),
            domain.message(destination="amqp:elsewhere"),
            domain.message(payload={"n": float("inf")}),
            domain.message(payload={"n": "x" * MESSAGE_BYTES_MAX}),
        ]
        refused = await publisher.publish([domain.message(), *bad, domain.message()])
        assert set(refused) == {message.id for message in bad}
        assert waiting(device, domain.first.queue) == 2

    async def test_has_nothing_to_say_about_nothing(self, publisher: AmqpPublisher) -> None:
        assert await publisher.publish([]) == {}

    @pytest.mark.parametrize("lost", ["queue", "exchange"])
    async def test_declares_again_what_the_broker_lost(
        self, publisher: AmqpPublisher, domain: Domain, device: BlockingChannel, lost: str
    ) -> None:
        message = domain.message(domain.second)
        assert await publisher.publish([message]) == {}
        device.queue_delete(domain.second.queue)
        if lost == "exchange":
            device.exchange_delete(domain.second.exchange)
        with pytest.raises(PublishInterrupted) as interrupted:
            await publisher.publish([message])
        assert interrupted.value.confirmed == frozenset()
        assert await publisher.publish([message]) == {}
        assert waiting(device, domain.second.queue) == 1

    async def test_keeps_what_a_full_queue_does_not_take_and_carries_what_goes_elsewhere(
        self, publisher: AmqpPublisher, domain: Domain, device: BlockingChannel
    ) -> None:
        await _fill(publisher, domain)
        late, others = domain.message(), [domain.message(domain.second) for _ in range(3)]
        with pytest.raises(PublishInterrupted, match="full") as interrupted:
            await publisher.publish([others[0], late, *others[1:]])
        assert interrupted.value.confirmed == {message.id for message in others}
        take_all(device, domain.first.queue)
        assert await publisher.publish([late]) == {}

    async def test_names_a_queue_that_somebody_declared_otherwise(
        self, publisher: AmqpPublisher, domain: Domain, device: BlockingChannel
    ) -> None:
        device.queue_declare(domain.first.queue, durable=True)
        with pytest.raises(TopologyMismatch, match=domain.first.queue):
            await publisher.publish([domain.message()])

    @pytest.mark.parametrize("is_connected", [True, False])
    async def test_ends_in_time_when_the_broker_freezes(
        self, rabbitmq: RabbitSettings, domain: Domain, *, is_connected: bool
    ) -> None:
        async with (
            wire_to(rabbitmq.host, rabbitmq.port) as wire,
            carrying(rabbitmq, domain, port=wire.port, seconds_max=1) as publisher,
        ):
            if is_connected:
                assert await publisher.publish([domain.message()]) == {}
            wire.hold()
            started = time.monotonic()
            with pytest.raises(PublishInterrupted, match="within 1 s"):
                await publisher.publish([domain.message(), domain.message(domain.second)])
            assert time.monotonic() - started < 2
            wire.release()
            started = time.monotonic()
            assert await publisher.publish([domain.message()]) == {}
            assert time.monotonic() - started < 3


class TestTheRelay:
    """The outbox, its relay and RabbitMQ together."""

    @pytest.fixture
    async def ecs(self, database: Database, redis_url: str) -> AsyncIterator[Application]:
        async with application(settings_for(database, redis_url), name="test") as ecs:
            yield ecs

    @pytest.fixture
    def outbox(self, ecs: Application, publisher: AmqpPublisher) -> OutboxService:
        return replace(ecs.outbox, publishers={"amqp": publisher})

    @pytest.fixture
    async def owner(self, database: Database) -> AsyncIterator[Any]:
        async with connected(database.owner_url) as connection:
            yield connection

    async def test_waits_for_a_queue_to_come_back_and_parks_nothing(
        self, outbox: OutboxService, domain: Domain, owner: Any, device: BlockingChannel
    ) -> None:
        await _written(owner, domain, 1)
        await outbox.relay(domain.destination)
        await _written(owner, domain, 3)
        device.queue_delete(domain.second.queue)
        with pytest.raises(DestinationUnavailable):
            await outbox.relay(domain.destination)
        assert await outbox.relay(domain.destination) == 3
        assert waiting(device, domain.second.queue) == 3
        assert await _failures(owner) == [0] * 4

    async def test_marks_what_was_confirmed_though_a_queue_is_full(
        self,
        outbox: OutboxService,
        publisher: AmqpPublisher,
        domain: Domain,
        owner: Any,
        device: BlockingChannel,
    ) -> None:
        await _fill(publisher, domain)
        await _written(owner, domain, 4, to=domain.first)
        await _written(owner, domain, 6)
        for _ in range(12):
            with pytest.raises(DestinationUnavailable, match="full"):
                await outbox.relay(domain.destination)
        carried = {UUID(one.properties.message_id) for one in take_all(device, domain.second.queue)}
        assert await _published(owner) == carried
        assert (len(carried), await _failures(owner)) == (6, [0] * 10)
        take_all(device, domain.first.queue)
        assert await outbox.relay(domain.destination) == 4

    async def test_parks_the_poisoned_and_carries_the_later(
        self, outbox: OutboxService, domain: Domain, owner: Any, device: BlockingChannel
    ) -> None:
        await _written(owner, domain, 1, payload=f'{{"n": {"9" * 400}.5}}')
        for _ in range(10):
            await _written(owner, domain, 1)
            await owner.execute("UPDATE outbox_events SET available_at = now()")
            assert await outbox.relay(domain.destination) == 2
        assert waiting(device, domain.second.queue) == 10
        row = await owner.fetchrow("SELECT * FROM outbox_events WHERE parked_at IS NOT NULL")
        assert (row["failures"], row["published_at"]) == (10, None)

    async def test_holds_its_rows_no_longer_than_the_publisher_may_take(
        self, rabbitmq: RabbitSettings, ecs: Application, domain: Domain, owner: Any
    ) -> None:
        await _written(owner, domain, 5)
        async with (
            wire_to(rabbitmq.host, rabbitmq.port) as wire,
            carrying(rabbitmq, domain, port=wire.port) as publisher,
        ):
            outbox = replace(ecs.outbox, publishers={"amqp": publisher})
            assert await outbox.relay(domain.destination) == 5
            await _written(owner, domain, 5)
            wire.hold()
            for _ in range(2):  # Once on an open connection, once on one that never opens.
                started = time.monotonic()
                with pytest.raises(DestinationUnavailable):
                    await outbox.relay(domain.destination)
                assert time.monotonic() - started < 12
                locked = "SELECT id FROM outbox_events FOR UPDATE NOWAIT"
                assert len(await owner.fetch(locked)) == 10
            wire.release()
            assert await outbox.relay(domain.destination) == 5

    async def test_is_wired_to_the_queues_of_the_domain(
        self, rabbitmq: RabbitSettings, database: Database, redis_url: str, device: BlockingChannel
    ) -> None:
        settings, event_id = settings_for(database, redis_url, rabbitmq=rabbitmq), uuid4()
        event = ApplicationSubmitted(
            application_id=uuid4(),
            user_id=uuid4(),
            pan_encrypted="AQ==",
            monthly_income_inr="50000",
            loan_amount_inr="200000",
            loan_type="AUTO",
        )
        async with application(settings, name="test") as ecs:
            async with ecs.outbox.unit_of_work() as uow:
                await uow.outbox.add_many([(event_id, event, Cause())])
                await uow.commit()
            assert await ecs.outbox.relay(ApplicationSubmitted.destination) == 1
        for _ in range(waiting(device, CREDIT_REPORTS.queue)):
            method, properties, _ = device.basic_get(CREDIT_REPORTS.queue)
            assert method is not None
            assert method.delivery_tag is not None
            if properties is not None and properties.message_id == str(event_id):
                device.basic_ack(method.delivery_tag)
                return
        pytest.fail("the event is not in the queue")


async def _fill(publisher: AmqpPublisher, domain: Domain) -> None:
    """Publish to the first stream, one by one, until its queue takes nothing more."""
    for _ in range(100):
        try:
            await publisher.publish([domain.message()])
        except PublishInterrupted:
            return
    pytest.fail("the queue is never full")


async def _written(
    owner: Any, domain: Domain, count: int, *, to: Stream | None = None, payload: str = "{}"
) -> None:
    await owner.execute(
        "INSERT INTO outbox_events (id, name, kind, destination, payload)"
        " SELECT gen_random_uuid(), $1, 'k', $2, CAST($3 AS jsonb) FROM generate_series(1, $4)",
        (to or domain.second).routing_key,
        domain.destination,
        payload,
        count,
    )


async def _published(owner: Any) -> set[UUID]:
    rows = await owner.fetch("SELECT id FROM outbox_events WHERE published_at IS NOT NULL")
    return {UUID(str(row["id"])) for row in rows}


async def _failures(owner: Any) -> list[int]:
    return [row["failures"] for row in await owner.fetch("SELECT failures FROM outbox_events")]
