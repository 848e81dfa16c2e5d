import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from ecs.bootstrap import Application
from ecs.domain.events import OfferAccepted, OutboxMessage
from ecs.domain.jobs import ParkedJob
from ecs.services.exceptions import DestinationUnavailable, PublishInterrupted
from ecs.services.outbox_service import OutboxService
from ecs.services.ports import Publisher
from tests.builders import Database, an_acceptance
from tests.invariants import assert_invariants

DESTINATION = OfferAccepted.destination


class RecordingPublisher:
    """Takes everything but what it is told to refuse."""

    def __init__(self, *refused: UUID) -> None:
        self.refused = dict.fromkeys(refused, "not wanted")
        self.messages: list[OutboxMessage] = []

    async def publish(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, str]:
        taken = [message for message in messages if message.id not in self.refused]
        self.messages += taken
        return {m.id: self.refused[m.id] for m in messages if m.id in self.refused}


class DownPublisher:
    async def publish(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, str]:
        raise DestinationUnavailable("nobody there")


class InterruptedPublisher:
    """Confirms some, and the line breaks."""

    def __init__(self, *confirmed: UUID) -> None:
        self._confirmed = frozenset(confirmed)

    async def publish(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, str]:
        raise PublishInterrupted("the line is dead", confirmed=self._confirmed)


class DyingPublisher:
    """Publishes, and the process is killed before anything can be marked."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def publish(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, str]:
        await self._publisher.publish(messages)
        raise asyncio.CancelledError


def by(publisher: Publisher, ecs: Application) -> OutboxService:
    return replace(ecs.outbox, publishers={"rq": publisher})


async def an_event(ecs: Application) -> UUID:
    async with ecs.outbox.unit_of_work() as uow:
        event_id = uuid4()
        await uow.outbox.add(OfferAccepted(offer_id=uuid4()), event_id=event_id, request_id="req-1")
        await uow.commit()
    return event_id


async def published(owner: Any) -> set[UUID]:
    rows = await owner.fetch("SELECT id FROM outbox_events WHERE published_at IS NOT NULL")
    return {UUID(str(row["id"])) for row in rows}


def rq_ids(redis_url: str) -> list[str]:
    with Redis.from_url(redis_url) as connection:
        return Queue("accounts", connection=connection, serializer=JSONSerializer).job_ids


class TestRelay:
    async def test_carries_and_marks_what_waits(self, ecs: Application, owner: Any) -> None:
        event_id, publisher = await an_event(ecs), RecordingPublisher()
        assert await by(publisher, ecs).relay(DESTINATION) == 1
        message = publisher.messages[0]
        assert (message.id, message.attempt, message.request_id) == (event_id, 1, "req-1")
        assert await published(owner) == {event_id}
        assert await by(publisher, ecs).relay(DESTINATION) == 0

    async def test_leaves_alone_what_goes_elsewhere(self, ecs: Application, owner: Any) -> None:
        await an_event(ecs)
        await owner.execute("UPDATE outbox_events SET destination = 'rq:other'")
        assert await by(RecordingPublisher(), ecs).relay(DESTINATION) == 0

    async def test_leaves_alone_what_has_to_wait(self, ecs: Application, owner: Any) -> None:
        await an_event(ecs)
        await owner.execute("UPDATE outbox_events SET available_at = now() + interval '1 min'")
        assert await by(RecordingPublisher(), ecs).relay(DESTINATION) == 0

    async def test_marks_the_confirmed_even_when_others_are_refused(
        self, ecs: Application, owner: Any
    ) -> None:
        good, bad = [await an_event(ecs) for _ in range(3)], await an_event(ecs)
        assert await by(RecordingPublisher(bad), ecs).relay(DESTINATION) == 4
        assert await published(owner) == set(good)
        row = await owner.fetchrow("SELECT * FROM outbox_events WHERE id = $1", bad)
        assert (row["failures"], row["last_error"], row["parked_at"]) == (1, "not wanted", None)

    async def test_waits_longer_after_each_refusal_and_parks_after_ten(
        self, ecs: Application, owner: Any
    ) -> None:
        event_id = await an_event(ecs)
        outbox = by(RecordingPublisher(event_id), ecs)
        pauses = []
        for _ in range(10):
            await owner.execute("UPDATE outbox_events SET available_at = now()")
            assert await outbox.relay(DESTINATION) == 1
            row = await owner.fetchrow(
                "SELECT failures, parked_at, available_at - now() AS pause FROM outbox_events"
            )
            assert (row["parked_at"] is not None) == (row["failures"] == 10)
            pauses.append(row["pause"])
        assert pauses[:4] == sorted(pauses[:4])
        assert max(pauses) <= timedelta(seconds=60)
        await owner.execute("UPDATE outbox_events SET available_at = now()")
        assert await outbox.relay(DESTINATION) == 0

    async def test_marks_nothing_when_the_destination_is_down(
        self, ecs: Application, owner: Any
    ) -> None:
        await an_event(ecs)
        before = await owner.fetchrow("SELECT * FROM outbox_events")
        with pytest.raises(DestinationUnavailable):
            await by(DownPublisher(), ecs).relay(DESTINATION)
        assert await owner.fetchrow("SELECT * FROM outbox_events") == before

    async def test_marks_what_was_confirmed_before_the_destination_went_down(
        self, ecs: Application, owner: Any
    ) -> None:
        done, left = await an_event(ecs), await an_event(ecs)
        for _ in range(12):
            with pytest.raises(DestinationUnavailable, match="dead"):
                await by(InterruptedPublisher(done), ecs).relay(DESTINATION)
        assert await published(owner) == {done}
        row = await owner.fetchrow("SELECT * FROM outbox_events WHERE id = $1", left)
        assert (row["failures"], row["parked_at"], row["last_error"]) == (0, None, None)

    async def test_takes_two_hundred_at_most_in_one_turn(
        self, ecs: Application, owner: Any
    ) -> None:
        await owner.execute(
            "INSERT INTO outbox_events (id, name, kind, destination, payload)"
            " SELECT gen_random_uuid(), 'n', 'open_account', $1, '{}'"
            " FROM generate_series(1, 250)",
            DESTINATION,
        )
        publisher = RecordingPublisher()
        assert [await by(publisher, ecs).relay(DESTINATION) for _ in range(3)] == [200, 50, 0]
        assert len({message.id for message in publisher.messages}) == 250

    async def test_two_relays_never_carry_the_same_event_at_once(
        self, ecs: Application, owner: Any
    ) -> None:
        for _ in range(20):
            await an_event(ecs)
        publisher = RecordingPublisher()
        await asyncio.gather(*(by(publisher, ecs).relay(DESTINATION) for _ in range(4)))
        assert len(publisher.messages) == 20
        assert len(await published(owner)) == 20

    async def test_twenty_writers_at_once_lose_nothing(
        self, ecs: Application, operator: Application, owner: Any
    ) -> None:
        """Ids commit out of order: a relay that remembers the last id would miss rows."""
        publisher, done = RecordingPublisher(), asyncio.Event()

        async def write() -> list[UUID]:
            return [await an_event(operator) for _ in range(5)]

        async def relay_until_done() -> None:
            finished = False
            while not finished:
                all_written = done.is_set()  # Asked first: the last row may come meanwhile.
                finished = await by(publisher, ecs).relay(DESTINATION) == 0 and all_written

        relay = asyncio.create_task(relay_until_done())
        written = {
            event
            for batch in await asyncio.gather(*(write() for _ in range(20)))
            for event in batch
        }
        done.set()
        await relay
        assert len(written) == 100
        assert sorted(message.id for message in publisher.messages) == sorted(written)
        assert await published(owner) == written


class TestRelayToRedis:
    async def test_published_twice_is_one_job(
        self, ecs: Application, database: Database, redis_url: str, owner: Any
    ) -> None:
        """The relay is killed between publishing and marking."""
        _, job_id = await an_acceptance(ecs, database)
        with pytest.raises(asyncio.CancelledError):
            await by(DyingPublisher(ecs.outbox.publishers["rq"]), ecs).relay(DESTINATION)
        assert await published(owner) == set()
        assert await ecs.outbox.relay(DESTINATION) == 1
        assert await published(owner) == {job_id}
        assert rq_ids(redis_url) == [f"open_account-{job_id}-1"]

    async def test_a_retry_is_another_job_in_redis(
        self, ecs: Application, database: Database, redis_url: str, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        await ecs.outbox.relay(DESTINATION)
        async with ecs.outbox.unit_of_work() as uow:
            await uow.outbox.retry(job_id, pause=timedelta())
            await uow.commit()
        await ecs.outbox.relay(DESTINATION)
        assert rq_ids(redis_url) == [f"open_account-{job_id}-{attempt}" for attempt in (1, 2)]


class TestRedispatch:
    async def a_published_job(self, ecs: Application, database: Database) -> UUID:
        _, job_id = await an_acceptance(ecs, database)
        await by(RecordingPublisher(), ecs).relay(DESTINATION)
        return job_id

    @pytest.mark.parametrize(
        ("attempt", "starts", "seconds", "lost"),
        [
            (1, 0, 9, False),
            (1, 0, 11, True),
            (2, 0, 19, False),
            (2, 0, 21, True),
            (3, 0, 39, False),
            (3, 0, 41, True),
            (30, 0, 39, False),  # No longer than this: a promise of half a minute waits.
            (30, 0, 41, True),
            (4, 4, 9, False),  # Each copy was started, and died: no queue is long.
            (4, 4, 11, True),
            (4, 2, 19, False),
            (4, 2, 21, True),
        ],
    )
    async def test_has_patience_that_doubles_with_each_copy_that_was_never_started(  # noqa: PLR0913  (a table's columns)
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        *,
        attempt: int,
        starts: int,
        seconds: int,
        lost: bool,
    ) -> None:
        await self.a_published_job(ecs, database)
        await owner.execute(
            "UPDATE outbox_events SET attempt = $1,"
            " published_at = now() - make_interval(secs => $2)",
            attempt,
            seconds,
        )
        await owner.execute("UPDATE jobs SET attempts = $1", starts)
        assert await ecs.outbox.redispatch_lost() == lost
        row = await owner.fetchrow("SELECT attempt, published_at FROM outbox_events")
        assert (row["attempt"], row["published_at"] is None) == (attempt + lost, lost)

    @pytest.mark.parametrize("status", ["queued", "running"])
    async def test_finds_queued_and_running_jobs(
        self, ecs: Application, database: Database, owner: Any, status: str
    ) -> None:
        job_id = await self.a_published_job(ecs, database)
        await owner.execute("UPDATE outbox_events SET published_at = now() - interval '1 hour'")
        await owner.execute("UPDATE jobs SET status = $1", status)
        assert await ecs.outbox.redispatch_lost() == 1
        publisher = RecordingPublisher()
        await by(publisher, ecs).relay(DESTINATION)
        assert [(message.id, message.attempt) for message in publisher.messages] == [(job_id, 2)]

    async def test_leaves_a_job_to_whoever_holds_it(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        job_id = await self.a_published_job(ecs, database)
        await owner.execute("UPDATE outbox_events SET published_at = now() - interval '1 hour'")
        async with ecs.acceptance.unit_of_work() as working:
            assert await working.jobs.hold(job_id) is not None
            assert await ecs.outbox.redispatch_lost() == 0
        assert await ecs.outbox.redispatch_lost() == 1  # It died: the lock is gone.

    async def test_leaves_finished_jobs_alone(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        job_id = await self.a_published_job(ecs, database)
        await ecs.acceptance.open_account(job_id=job_id)
        await owner.execute(
            "UPDATE outbox_events SET published_at = now() - interval '1 hour' WHERE id = $1",
            job_id,
        )
        assert await ecs.outbox.redispatch_lost() == 0

    async def test_what_can_never_be_carried_is_given_up_and_the_offer_stands(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        assert await ecs.outbox.find_parked_jobs() == []
        await owner.execute("UPDATE outbox_events SET failures = 10, parked_at = now()")
        parked = ParkedJob(id=job_id, kind="open_account")
        assert await ecs.outbox.find_parked_jobs() == [parked]
        await ecs.outbox.give_up_parked()
        assert await ecs.outbox.find_parked_jobs() == []
        job = await ecs.jobs.get(user_id=offer.user_id, job_id=job_id)
        assert (job.status, job.error_code) == ("failed", "internal")
        assert await ecs.credit.find_active_offer(offer.user_id) == offer
        await assert_invariants(database.owner_url)

    async def test_a_kind_that_nobody_knows_stops_no_other(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        jobs = [(await an_acceptance(ecs, database))[1] for _ in range(2)]
        older, newer = sorted(jobs)
        await owner.execute("UPDATE jobs SET kind = 'sing' WHERE id = $1", older)
        await owner.execute("UPDATE outbox_events SET failures = 10, parked_at = now()")
        await ecs.outbox.give_up_parked()
        rows = await owner.fetch("SELECT id, status FROM jobs WHERE kind <> 'send_email'")
        assert dict(rows) == {older: "queued", newer: "failed"}

    async def test_what_redis_forgot_is_finished_all_the_same(
        self, ecs: Application, database: Database, redis_url: str, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        await ecs.outbox.relay(DESTINATION)
        with Redis.from_url(redis_url) as connection:
            connection.flushdb()
        await owner.execute("UPDATE outbox_events SET published_at = now() - interval '1 min'")
        assert await ecs.outbox.redispatch_lost() == 1
        assert await ecs.outbox.relay(DESTINATION) == 1
        assert rq_ids(redis_url) == [f"open_account-{job_id}-2"]
        await ecs.acceptance.open_account(job_id=job_id)
        await assert_invariants(database.owner_url)


class TestCleanUp:
    async def test_removes_old_events_but_none_of_an_unfinished_job(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        old, recent, waiting = [await an_event(ecs) for _ in range(3)]
        _, unfinished = await an_acceptance(ecs, database)
        _, finished = await an_acceptance(ecs, database)
        await ecs.acceptance.open_account(job_id=finished)
        await owner.execute(
            "UPDATE outbox_events SET published_at = now() - interval '8 days' WHERE id = ANY($1)",
            [old, unfinished, finished],
        )
        await owner.execute(
            "UPDATE outbox_events SET published_at = now() - interval '6 days' WHERE id = $1",
            recent,
        )
        await ecs.outbox.clean_up()
        rows = await owner.fetch("SELECT id FROM outbox_events WHERE kind = 'open_account'")
        assert {row["id"] for row in rows} == {recent, waiting, unfinished}

    async def test_keeps_parked_events_for_somebody_to_see(
        self, ecs: Application, owner: Any
    ) -> None:
        await an_event(ecs)
        await owner.execute(
            "UPDATE outbox_events SET parked_at = now() - interval '1 year',"
            " created_at = now() - interval '1 year'"
        )
        assert await ecs.outbox.clean_up() == 0

    async def test_forgets_messages_that_nobody_can_deliver_again(
        self, ecs: Application, owner: Any
    ) -> None:
        await owner.execute(
            "INSERT INTO processed_messages (consumer, message_id, processed_at)"
            " SELECT 'c', gen_random_uuid(), now() - make_interval(days => age)"
            " FROM unnest(ARRAY[0, 29, 31, 90]) AS age"
        )
        assert await ecs.outbox.clean_up() == 2
        assert await owner.fetchval("SELECT count(*) FROM processed_messages") == 2

    async def test_a_message_is_new_once_for_each_consumer(self, ecs: Application) -> None:
        message_id = uuid4()
        async with ecs.outbox.unit_of_work() as uow:
            news = [
                await uow.processed_messages.remember(consumer=consumer, message_id=message_id)
                for consumer in ("one", "one", "other")
            ]
        assert news == [True, False, True]
