"""The credit service and the decision service at work, on a real broker and a real database."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from ecs.bootstrap import Application, application
from ecs.config import RabbitSettings
from ecs.domain.events import ApplicationSubmitted, OutboxMessage
from ecs.domain.streams import CREDIT_REPORTS, DECISIONS, Stream
from ecs.integrations.amqp_publisher import AmqpPublisher
from ecs.integrations.bureau.guarded import GuardedBureau
from ecs.integrations.bureau.simulation import SimulatedBureau
from ecs.integrations.rabbitmq.connection import Broker
from tests.amqp import send, take_all, waiting
from tests.builders import Database, a_user, connected, settings_for
from tests.contracts.streams_support import (
    a_consumer,
    broker_of,
    copied,
    publishing,
    running,
    until,
)
from tests.integration.pipeline_support import an_application, reports_of, state_of
from workers.credit_report import report
from workers.decision import decide
from workers.streams import can_work

FIXED_PAN: Final = "ABCDE1234F"
FIXED_SCORE: Final = 790
MESSAGES_MAX: Final = 200


@pytest.fixture
def to(rabbitmq: RabbitSettings) -> Broker:
    return broker_of(rabbitmq)


@pytest.fixture
async def submissions(to: Broker, rabbitmq: RabbitSettings) -> AsyncIterator[Stream]:
    async with copied(CREDIT_REPORTS, rabbitmq) as stream:
        yield stream


@pytest.fixture
async def notices(to: Broker, rabbitmq: RabbitSettings) -> AsyncIterator[Stream]:
    async with copied(DECISIONS, rabbitmq) as stream:
        yield stream


@pytest.fixture
async def ecs(database: Database, redis_url: str) -> AsyncIterator[Application]:
    async with application(settings_for(database, redis_url), name="test") as ecs:
        yield ecs


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Any]:
    async with connected(database.owner_url) as connection:
        yield connection


async def submitted(owner: Any, application_id: UUID) -> OutboxMessage:
    """The event of a stored application, as the outbox holds it."""
    row = await owner.fetchrow(
        "SELECT * FROM prequalification_applications WHERE id = $1", application_id
    )
    event = ApplicationSubmitted(
        application_id=application_id,
        user_id=row["user_id"],
        pan_encrypted=base64.b64encode(row["pan_ciphertext"]).decode(),
        monthly_income_inr="50000.00",
        loan_amount_inr="500000.00",
        loan_type=row["loan_type"],
    )
    return OutboxMessage(
        id=uuid4(),
        name=event.name,
        kind=event.kind,
        destination=event.destination,
        payload={name: str(value) for name, value in asdict(event).items()},
        request_id="req-submit",
        attempt=1,
        created_at=datetime.now(UTC),
    )


async def relay(broker: Broker, stream: Stream, *messages: OutboxMessage) -> None:
    """Carry events as the relay does, to a stream of the test."""
    async with publishing(broker) as publisher:
        carrier = AmqpPublisher(publisher, streams=[stream])
        moved = [replace(message, destination=f"amqp:{stream.exchange}") for message in messages]
        assert await carrier.publish(moved) == {}


async def taken_from_outbox(ecs: Application) -> list[OutboxMessage]:
    async with ecs.outbox.unit_of_work() as uow:
        messages = await uow.outbox.take(ApplicationSubmitted.destination, limit=MESSAGES_MAX)
        await uow.outbox.mark_published([message.id for message in messages])
        await uow.commit()
    return messages


async def some_applications(database: Database, owner: Any, count: int) -> list[UUID]:
    user_id = await a_user(database)
    return [await an_application(owner, user_id, pan=FIXED_PAN) for _ in range(count)]


class TestBothWorkers:
    async def test_turn_a_submission_into_a_decision_once_however_often_it_comes(  # noqa: PLR0913, PLR0917  (fixtures)
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        to: Broker,
        submissions: Stream,
        notices: Stream,
        device: BlockingChannel,
    ) -> None:
        ids = await some_applications(database, owner, 5)
        events = [await submitted(owner, one) for one in ids]
        async with running(a_consumer(to, submissions, partial(report, ecs))):
            for _ in range(3):
                await relay(to, submissions, *events)
            await until(lambda: waiting(device, submissions.queue) == 0, what="the reports")
        reported = await taken_from_outbox(ecs)
        assert {message.request_id for message in reported} == {"req-submit"}
        assert sorted(message.payload["application_id"] for message in reported) == sorted(
            str(one) for one in ids
        )
        async with running(a_consumer(to, notices, partial(decide, ecs))):
            for _ in range(3):
                await relay(to, notices, *reported)
            await until(lambda: waiting(device, notices.queue) == 0, what="the decisions")
        for one in ids:
            state = await state_of(owner, one)
            assert (state.status, state.version) == ("PRE_APPROVED", 2)
            assert state.history == ["PENDING", "PRE_APPROVED"]
            assert (state.cibil_score, state.events, state.decryptions) == (FIXED_SCORE, 1, 1)
        for stream in (submissions, notices):
            assert waiting(device, stream.dead_queue) == 0


class TestCreditReport:
    async def test_buries_poison_under_its_id_and_reports_what_lies_beside_it(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        to: Broker,
        submissions: Stream,
        device: BlockingChannel,
    ) -> None:
        first, second = await some_applications(database, owner, 2)
        good, swapped = await submitted(owner, first), await submitted(owner, second)
        swapped = replace(
            swapped,
            payload={**swapped.payload, "pan_encrypted": good.payload["pan_encrypted"]},
        )
        nobodys = replace(
            good, id=uuid4(), payload={**good.payload, "application_id": str(uuid4())}
        )
        zero = replace(good, id=uuid4(), request_id="\0")
        send(device, submissions, b"ABCDE1234F is not JSON", message_id=str(good.id))
        await relay(to, submissions, swapped, nobodys, good)
        await relay(to, submissions, zero)
        async with running(a_consumer(to, submissions, partial(report, ecs))):
            await until(
                lambda: (
                    waiting(device, submissions.dead_queue) >= 3
                    and waiting(device, submissions.queue) == 0
                ),
                what="the letters",
            )
        letters = take_all(device, submissions.dead_queue)
        codes = {letter.properties.message_id: letter.headers["x-ecs-code"] for letter in letters}
        assert codes == {
            str(good.id): "malformed",
            str(swapped.id): "undecryptable",
            str(nobodys.id): "unknown_application",
        }
        bodies = {letter.properties.message_id: letter.body for letter in letters}
        assert json.loads(bodies[str(swapped.id)])["id"] == str(swapped.id)
        assert not any("ABCDE1234F" in repr(letter.headers) for letter in letters)
        assert (await state_of(owner, first)).cibil_score == FIXED_SCORE
        assert (await state_of(owner, second)).cibil_score is None

    async def test_reports_what_a_later_version_tells_more_about(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        to: Broker,
        submissions: Stream,
        device: BlockingChannel,
    ) -> None:
        [application_id] = await some_applications(database, owner, 1)
        event = await submitted(owner, application_id)
        later = replace(
            event, payload={**event.payload, "branch": "Pune", "loan_type": {"name": "BOAT"}}
        )
        async with running(a_consumer(to, submissions, partial(report, ecs))):
            await relay(to, submissions, later)
            await until(lambda: waiting(device, submissions.queue) == 0, what="the report")
        assert waiting(device, submissions.dead_queue) == 0
        assert (await state_of(owner, application_id)).cibil_score == FIXED_SCORE

    async def test_has_a_message_come_again_until_the_bureau_answers(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        to: Broker,
        submissions: Stream,
        device: BlockingChannel,
    ) -> None:
        [application_id] = await some_applications(database, owner, 1)
        down = GuardedBureau(SimulatedBureau("any key", behaviour="refuses"))
        in_drill = replace(ecs, credit_reports=reports_of(ecs, down))
        [retry_queue] = set(submissions.queues) - {submissions.queue, submissions.dead_queue}
        async with running(a_consumer(to, submissions, partial(report, in_drill))):
            await relay(to, submissions, await submitted(owner, application_id))
            await until(lambda: waiting(device, retry_queue) == 1, what="the postponed message")
        assert (await state_of(owner, application_id)).status == "PENDING"
        async with running(a_consumer(to, submissions, partial(report, ecs))):
            await until(lambda: waiting(device, retry_queue) == 0, what="the end of the pause")
            await until(lambda: waiting(device, submissions.queue) == 0, what="the report")
        state = await state_of(owner, application_id)
        assert (state.cibil_score, state.events, state.decryptions) == (FIXED_SCORE, 1, 2)


class TestDecision:
    async def test_buries_what_has_no_report(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        to: Broker,
        notices: Stream,
        device: BlockingChannel,
    ) -> None:
        [application_id] = await some_applications(database, owner, 1)
        forged = replace(
            await submitted(owner, application_id),
            name=DECISIONS.routing_key,
            payload={
                "application_id": str(application_id),
                "user_id": str(uuid4()),
                "cibil_score": 900,
            },
        )
        async with running(a_consumer(to, notices, partial(decide, ecs))):
            await relay(to, notices, forged)
            await until(lambda: waiting(device, notices.dead_queue) == 1, what="the letter")
        [letter] = take_all(device, notices.dead_queue)
        assert letter.headers["x-ecs-code"] == "report_missing"
        assert letter.properties.message_id == str(forged.id)
        assert (await state_of(owner, application_id)).status == "PENDING"


class TestCanWork:
    async def test_is_so_with_a_migrated_database_alone(
        self, ecs: Application, empty_database: Database, redis_url: str
    ) -> None:
        assert await can_work(ecs)
        async with application(settings_for(empty_database, redis_url), name="test") as unable:
            assert not await can_work(unable)
