import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.credit.agreements import CreditOffer
from ecs.domain.period import Window
from ecs.services.exceptions import (
    AccountExists,
    Conflict,
    OfferDenied,
    OfferExpired,
    OfferNotFound,
    OfferReferred,
    OfferVoid,
)
from tests.builders import (
    Database,
    a_user,
    an_acceptance,
    an_offer,
    bad_month,
    connected,
    feed,
    lapse,
    thin_month,
)
from tests.invariants import assert_invariants

WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def accept(ecs: Application, offer: CreditOffer, *, user_id: UUID | None = None) -> UUID:
    return await ecs.acceptance.accept_offer(
        user_id=user_id or offer.user_id, offer_id=offer.id, request_id="req-accept"
    )


async def a_decision(ecs: Application, database: Database, month: Any) -> CreditOffer:
    user_id = await a_user(database)
    await feed(ecs, database, month(user_id, datetime.now(UTC)))
    return (await ecs.credit.apply(user_id=user_id, request_id=None))[0]


async def give_account(owner: Any, user_id: UUID) -> None:
    """Give somebody an account that comes from another offer."""
    await owner.execute(
        "WITH assessment AS ("
        " INSERT INTO risk_assessments (id, user_id, decided_at, model_id, model_version,"
        "  model_sha256, policy_id, policy_version, policy_sha256, transaction_ids,"
        "  inputs_sha256, record)"
        " VALUES (gen_random_uuid(), $1, now(), '', '', '', '', '', '', '{}', '', '{}')"
        " RETURNING id), job AS ("
        " INSERT INTO jobs (id, kind, user_id, status, finished_at)"
        " VALUES (gen_random_uuid(), 'other', $1, 'succeeded', now()) RETURNING id), offer AS ("
        " INSERT INTO credit_offers (id, user_id, assessment_id, status, credit_type,"
        "  credit_limit_minor, apr, currency, tenor_months, expires_at, created_at, job_id)"
        " SELECT gen_random_uuid(), $1, assessment.id, 'accepted', 'long_term', 100000, 0.1,"
        "  'BRL', 36, now() + interval '1 day', now(), job.id FROM assessment, job RETURNING *)"
        " INSERT INTO credit_accounts (id, user_id, offer_id, credit_type, credit_limit_minor,"
        "  available_credit_minor, apr, currency, status, opened_at)"
        " SELECT gen_random_uuid(), user_id, id, credit_type, credit_limit_minor,"
        "  credit_limit_minor, apr, currency, 'active', now() FROM offer",
        user_id,
    )


class TestAccept:
    async def test_takes_the_offer_and_writes_job_and_event_beside_it(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer = await an_offer(ecs, database)
        job_id = await accept(ecs, offer)
        job = await ecs.jobs.get(user_id=offer.user_id, job_id=job_id)
        assert (job.kind, job.status, job.attempts) == ("open_account", "queued", 0)
        row = await owner.fetchrow(
            "SELECT o.status, o.job_id, e.kind, e.destination, e.request_id,"
            " e.payload->>'offer_id' AS offer_id, e.published_at"
            " FROM credit_offers o JOIN outbox_events e ON e.id = o.job_id"
        )
        assert dict(row) == {
            "status": "accepting",
            "job_id": job_id,
            "kind": "open_account",
            "destination": "rq:accounts",
            "request_id": "req-accept",
            "offer_id": str(offer.id),
            "published_at": None,
        }
        await assert_invariants(database.owner_url)

    async def test_answers_with_the_same_job_for_ever(
        self, ecs: Application, database: Database
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        assert await accept(ecs, offer) == job_id
        await ecs.acceptance.open_account(job_id=job_id)
        assert await accept(ecs, offer) == job_id
        await lapse(database, offer.id)
        assert await accept(ecs, offer) == job_id

    async def test_twenty_parallel_accepts_get_one_job(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer = await an_offer(ecs, database)
        jobs = await asyncio.gather(*(accept(ecs, offer) for _ in range(20)))
        assert len(set(jobs)) == 1
        assert await owner.fetchval("SELECT count(*) FROM jobs") == 1
        assert await owner.fetchval("SELECT count(*) FROM outbox_events") == 1

    async def test_is_in_time_by_the_clock_of_the_database_only(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        """The very same offer: one moment it stands, the next it does not."""
        offer = await an_offer(ecs, database)
        async with ecs.acceptance.unit_of_work() as uow:
            file = await uow.credit.get_applicant_file(
                offer.user_id, currency="BRL", money=Window(days=30, rows_max=1), mood=None
            )
            at = file.now
            # The owner moves the end of the offer while the transaction's clock stands still.
            await owner.execute("UPDATE credit_offers SET expires_at = $1", at)
            late = await uow.credit.claim_offer(offer.id, user_id=offer.user_id, job_id=uuid4())
            await owner.execute(
                "UPDATE credit_offers SET expires_at = $1::timestamptz + interval '1 us'", at
            )
            in_time = await uow.credit.claim_offer(offer.id, user_id=offer.user_id, job_id=uuid4())
        assert (late, in_time) == (False, True)

    async def test_an_accept_in_time_holds_against_an_application_that_comes_after_the_end(
        self, ecs: Application, database: Database, owner: Any, plain: Any
    ) -> None:
        """The accept is still being written when the offer's time is over."""
        offer, job_id = await an_offer(ecs, database), uuid4()
        async with ecs.acceptance.unit_of_work() as accepting:
            await owner.execute(
                "UPDATE credit_offers SET expires_at = clock_timestamp() + interval '300 ms'"
            )
            assert await accepting.credit.claim_offer(
                offer.id, user_id=offer.user_id, job_id=job_id
            )
            await accepting.jobs.add(job_id, kind="open_account", user_id=offer.user_id)
            await owner.execute("SELECT pg_sleep(0.4)")
            applying = asyncio.create_task(ecs.credit.apply(user_id=offer.user_id, request_id=None))
            async with asyncio.timeout(10):
                while not await plain.fetchval(WAITING):  # noqa: ASYNC110  (the server's locks)
                    await asyncio.sleep(0.01)
            await accepting.commit()
        standing, is_new = await applying
        assert (standing.id, standing.status, is_new) == (offer.id, "accepting", False)
        await assert_invariants(database.owner_url)

    async def test_of_an_accept_and_the_sweep_one_wins(
        self, ecs: Application, database: Database
    ) -> None:
        """Around the end of an offer it is either taken or expired, never both, never neither."""
        offers = [await an_offer(ecs, database) for _ in range(6)]
        async with connected(database.owner_url) as owner:
            await owner.execute(
                "UPDATE credit_offers SET expires_at = clock_timestamp() + interval '30 ms'"
            )
        for offer in offers:
            taken, _ = await asyncio.gather(
                accept(ecs, offer), ecs.credit.expire_lapsed_offers(), return_exceptions=True
            )
            after = await ecs.credit.get_offer(user_id=offer.user_id, offer_id=offer.id)
            if isinstance(taken, UUID):
                assert (after.status, after.job_id) == ("accepting", taken)
            else:
                assert isinstance(taken, OfferExpired)
                assert (after.status, after.job_id) == ("expired", None)
        await assert_invariants(database.owner_url)


class TestRefusals:
    async def test_nobody_accepts_what_is_not_there(
        self, ecs: Application, database: Database
    ) -> None:
        user_id = await a_user(database)
        with pytest.raises(OfferNotFound):
            await ecs.acceptance.accept_offer(user_id=user_id, offer_id=uuid4(), request_id=None)

    async def test_nobody_accepts_for_somebody_else(
        self, ecs: Application, database: Database
    ) -> None:
        offer = await an_offer(ecs, database)
        with pytest.raises(OfferNotFound):
            await accept(ecs, offer, user_id=await a_user(database))
        assert await ecs.credit.find_active_offer(offer.user_id) == offer

    async def test_a_stranger_with_an_account_learns_nothing_of_the_offer(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer, stranger = await an_offer(ecs, database), await a_user(database)
        await give_account(owner, stranger)
        with pytest.raises(OfferNotFound):
            await accept(ecs, offer, user_id=stranger)

    @pytest.mark.parametrize("status", ["offered", "expired", "void"])
    async def test_an_account_from_another_offer_comes_before_every_other_reason(
        self, ecs: Application, database: Database, owner: Any, status: str
    ) -> None:
        offer = await an_offer(ecs, database)
        await owner.execute("UPDATE credit_offers SET status = $1", status)
        await give_account(owner, offer.user_id)
        with pytest.raises(AccountExists):
            await accept(ecs, offer)
        found = await ecs.credit.get_offer(user_id=offer.user_id, offer_id=offer.id)
        assert found.status == status

    async def test_a_lapsed_offer_has_expired_swept_or_not(
        self, ecs: Application, database: Database
    ) -> None:
        offer = await an_offer(ecs, database)
        await lapse(database, offer.id)
        with pytest.raises(OfferExpired):
            await accept(ecs, offer)
        await ecs.credit.expire_lapsed_offers()
        with pytest.raises(OfferExpired):
            await accept(ecs, offer)

    @pytest.mark.parametrize(
        ("month", "refusal"), [(bad_month, OfferDenied), (thin_month, OfferReferred)]
    )
    async def test_a_no_cannot_be_accepted(
        self, ecs: Application, database: Database, month: Any, refusal: type[Conflict]
    ) -> None:
        decision = await a_decision(ecs, database, month)
        with pytest.raises(refusal):
            await accept(ecs, decision)

    async def test_a_closed_offer_stays_closed(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer = await an_offer(ecs, database)
        await owner.execute("UPDATE credit_offers SET status = 'void'")
        with pytest.raises(OfferVoid):
            await accept(ecs, offer)

    async def test_a_refusal_leaves_no_trace(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer = await an_offer(ecs, database)
        await lapse(database, offer.id)
        with pytest.raises(OfferExpired):
            await accept(ecs, offer)
        assert await owner.fetchval("SELECT count(*) FROM jobs") == 0
        assert await owner.fetchval("SELECT count(*) FROM outbox_events") == 0
