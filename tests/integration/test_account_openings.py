import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.credit.agreements import CreditOffer
from ecs.domain.jobs import BACKOFF_SECONDS, Job
from ecs.domain.money import Money
from ecs.domain.notifications import NotificationKind
from ecs.services.exceptions import RepositoryError
from tests.builders import Database, an_acceptance, connected, disable
from tests.integration.test_acceptances import accept, give_account
from tests.invariants import assert_invariants

BROKEN = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no account today'; END $$;
CREATE TRIGGER broken BEFORE INSERT ON credit_accounts
FOR EACH ROW EXECUTE FUNCTION refuse();
"""
REPAIRED = "DROP TRIGGER broken ON credit_accounts"


async def status_of(ecs: Application, offer: CreditOffer) -> str:
    return (await ecs.credit.get_offer(user_id=offer.user_id, offer_id=offer.id)).status


async def news_of(ecs: Application, user_id: UUID) -> list[NotificationKind]:
    page = await ecs.notifications.list(user_id=user_id, limit=100, after=None)
    return [notification.kind for notification in page]


async def fail_once(ecs: Application, job_id: UUID) -> None:
    with pytest.raises(RepositoryError):
        await ecs.acceptance.open_account(job_id=job_id)


async def waiting_seconds(owner: Any, job_id: UUID) -> float:
    """How long the event of a job still has to wait, counted from its last change."""
    pause: timedelta = await owner.fetchval(
        "SELECT available_at - now() FROM outbox_events WHERE id = $1 AND published_at IS NULL",
        job_id,
    )
    return pause.total_seconds()


class TestOpenAccount:
    async def test_opens_on_the_terms_of_the_offer(
        self, ecs: Application, database: Database
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await ecs.acceptance.open_account(job_id=job_id)
        account = await ecs.acceptance.get_account(offer.user_id)
        job = await ecs.jobs.get(user_id=offer.user_id, job_id=job_id)
        assert (account.offer_id, account.credit_limit, account.apr, account.currency) == (
            offer.id,
            offer.credit_limit,
            offer.apr,
            offer.currency,
        )
        assert account.available_credit == offer.credit_limit != Money(0)
        assert (job.status, job.result) == ("succeeded", {"account_id": str(account.id)})
        assert job.finished_at is not None
        assert await status_of(ecs, offer) == "accepted"
        assert await news_of(ecs, offer.user_id) == [NotificationKind.ACCOUNT_OPENED]
        await assert_invariants(database.owner_url)

    async def test_opens_in_one_transaction(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        await ecs.acceptance.open_account(job_id=job_id)
        writers = [
            await owner.fetchval(f"SELECT xmin::text FROM {table}")
            for table in (
                "credit_accounts",
                "credit_offers",
                "jobs WHERE kind = 'open_account'",
                "jobs WHERE kind = 'send_email'",
                "notifications",
                "outbox_events WHERE kind = 'send_email'",
                "processed_messages",
            )
        ]
        assert len(set(writers)) == 1

    async def test_opens_once_however_often_it_is_called(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        for _ in range(3):
            await ecs.acceptance.open_account(job_id=job_id)
        assert await owner.fetchval("SELECT count(*) FROM credit_accounts") == 1
        assert await owner.fetchval("SELECT count(*) FROM notifications") == 1
        await assert_invariants(database.owner_url)

    async def test_opens_once_when_five_copies_run_at_once(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        await asyncio.gather(*(ecs.acceptance.open_account(job_id=job_id) for _ in range(5)))
        # A copy leaves when another holds the job, and that one finishes it.
        assert await owner.fetchval("SELECT status FROM jobs WHERE id = $1", job_id) == "succeeded"
        assert await owner.fetchval("SELECT count(*) FROM credit_accounts") == 1
        assert await owner.fetchval("SELECT count(*) FROM notifications") == 1
        await assert_invariants(database.owner_url)

    async def test_copies_are_no_attempts(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        """More copies than attempts must not end in giving up."""
        _, job_id = await an_acceptance(ecs, database)
        async with ecs.acceptance.unit_of_work() as working:
            assert await working.jobs.hold(job_id) is not None
            await asyncio.gather(*(ecs.acceptance.open_account(job_id=job_id) for _ in range(8)))
        assert await owner.fetchval("SELECT attempts FROM jobs WHERE id = $1", job_id) == 0
        await ecs.acceptance.open_account(job_id=job_id)
        assert await owner.fetchval("SELECT status FROM jobs WHERE id = $1", job_id) == "succeeded"

    async def test_keeps_its_word_when_the_offer_lapses_after_the_accept(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await owner.execute(
            "UPDATE credit_offers SET created_at = now() - interval '2 hours',"
            " expires_at = now() - interval '1 hour'"
        )
        await ecs.acceptance.open_account(job_id=job_id)
        assert await status_of(ecs, offer) == "accepted"

    async def test_does_nothing_for_a_job_that_is_not_there(self, ecs: Application) -> None:
        await ecs.acceptance.open_account(job_id=uuid4())


class TestRefusals:
    async def refused(self, ecs: Application, offer: CreditOffer, job_id: UUID) -> Job:
        await ecs.acceptance.open_account(job_id=job_id)
        assert await status_of(ecs, offer) == "void"
        assert await news_of(ecs, offer.user_id) == [NotificationKind.ACCEPTANCE_REFUSED]
        return await ecs.jobs.get(user_id=offer.user_id, job_id=job_id)

    async def test_a_second_account_is_refused(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await give_account(owner, offer.user_id)
        job = await self.refused(ecs, offer, job_id)
        assert (job.status, job.error_code) == ("failed", "account_exists")
        assert job.attempts == 1
        assert await owner.fetchval("SELECT count(*) FROM credit_accounts") == 1

    async def test_a_disabled_person_gets_no_account(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await disable(database, offer.user_id)
        job = await self.refused(ecs, offer, job_id)
        assert (job.status, job.error_code) == ("failed", "user_disabled")
        assert await owner.fetchval("SELECT count(*) FROM credit_accounts") == 0
        await assert_invariants(database.owner_url)

    async def test_a_refusal_is_final(self, ecs: Application, database: Database) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await disable(database, offer.user_id)
        await self.refused(ecs, offer, job_id)
        await self.refused(ecs, offer, job_id)  # Nothing new is told, nothing changes.


class TestFailures:
    async def test_each_failure_is_tried_again_after_its_pause(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await owner.execute(BROKEN)
        for failures, pause in enumerate(BACKOFF_SECONDS, start=1):
            await fail_once(ecs, job_id)
            assert pause - 1 < await waiting_seconds(owner, job_id) <= pause
            row = await owner.fetchrow(
                "SELECT status, attempts, attempt FROM jobs JOIN outbox_events USING (id)"
            )
            assert tuple(row) == ("running", failures, failures + 1)
        assert await status_of(ecs, offer) == "accepting"
        assert await news_of(ecs, offer.user_id) == []

    async def test_the_fifth_failure_gives_the_offer_back(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await owner.execute(BROKEN)
        for _ in range(5):
            await fail_once(ecs, job_id)
        job = await ecs.jobs.get(user_id=offer.user_id, job_id=job_id)
        assert (job.status, job.error_code, job.attempts) == ("failed", "internal", 5)
        assert "no account today" not in (job.error_message or "")
        assert await ecs.credit.find_active_offer(offer.user_id) == offer
        assert await news_of(ecs, offer.user_id) == [NotificationKind.ACCEPTANCE_FAILED]
        await assert_invariants(database.owner_url)

    async def test_after_giving_up_the_offer_can_be_accepted_once_more(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await owner.execute(BROKEN)
        for _ in range(5):
            await fail_once(ecs, job_id)
        await owner.execute(REPAIRED)
        second = await accept(ecs, offer)
        assert second != job_id
        await ecs.acceptance.open_account(job_id=job_id)  # A late copy of the first: nothing.
        await ecs.acceptance.open_account(job_id=second)
        assert await status_of(ecs, offer) == "accepted"
        assert await news_of(ecs, offer.user_id) == [
            NotificationKind.ACCOUNT_OPENED,
            NotificationKind.ACCEPTANCE_FAILED,
        ]
        await assert_invariants(database.owner_url)

    async def test_an_attempt_that_failed_is_made_good_by_the_next(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await owner.execute(BROKEN)
        await fail_once(ecs, job_id)
        await owner.execute(REPAIRED)
        await ecs.acceptance.open_account(job_id=job_id)
        assert await status_of(ecs, offer) == "accepted"
        await assert_invariants(database.owner_url)

    async def test_a_worker_that_dies_each_time_is_given_up_too(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        """It never came to note a failure: only the count of starts is left."""
        offer, job_id = await an_acceptance(ecs, database)
        await owner.execute("UPDATE jobs SET status = 'running', attempts = 5")
        await ecs.acceptance.open_account(job_id=job_id)
        job = await ecs.jobs.get(user_id=offer.user_id, job_id=job_id)
        assert (job.status, job.error_code) == ("failed", "internal")
        assert await status_of(ecs, offer) == "offered"
        await assert_invariants(database.owner_url)

    async def test_a_failing_copy_does_not_disturb_the_one_that_works(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        before = await owner.fetchrow("SELECT * FROM outbox_events")
        async with connected(database.owner_url) as worker, worker.transaction():
            await worker.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", job_id)
            await ecs.acceptance._note_failure(job_id, 1)
        assert await owner.fetchrow("SELECT * FROM outbox_events") == before
