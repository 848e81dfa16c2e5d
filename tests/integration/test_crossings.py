"""Two things happening to one person at once, in the order that once went wrong."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.credit.agreements import OfferStatus
from ecs.repositories.credit_repository import CreditRepository
from ecs.services.exceptions import AccountExists, RepositoryError
from tests.builders import Database, a_user, an_acceptance, an_offer
from tests.invariants import assert_invariants


def after_the_first_call(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], happens: Callable[[], Awaitable[Any]]
) -> None:
    """Let ``happens`` happen right behind whichever of the repository's methods is called first."""
    happened: list[str] = []
    for name in names:
        original = getattr(CreditRepository, name)

        async def call(
            self: CreditRepository,
            *values: Any,
            _original: Any = original,
            _name: str = name,
            **named: Any,
        ) -> Any:
            found = await _original(self, *values, **named)
            if not happened:
                happened.append(_name)
                await happens()
            return found

        monkeypatch.setattr(CreditRepository, name, call)


async def test_an_account_opened_between_the_reads_of_apply_is_no_way_to_a_second_offer(
    ecs: Application, database: Database, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, job_id = await an_acceptance(ecs, database)
    after_the_first_call(
        monkeypatch,
        ("find_standing_offer", "find_active_account"),
        lambda: ecs.acceptance.open_account(job_id=job_id),
    )

    with pytest.raises(AccountExists):
        await ecs.credit.apply(user_id=offer.user_id, request_id=None)

    assert await owner.fetchval("SELECT count(*) FROM credit_offers") == 1
    await assert_invariants(database.owner_url)


async def test_apply_answers_with_the_offer_whose_accept_was_in_time_though_it_lapsed_meanwhile(
    ecs: Application, database: Database, owner: Any, plain: Any
) -> None:
    offer = await an_offer(ecs, database)
    job_id = uuid4()
    await owner.execute(
        "UPDATE credit_offers SET created_at = now() - interval '1 hour',"
        " expires_at = clock_timestamp() + interval '300 ms' WHERE id = $1",
        offer.id,
    )
    accepting = plain.transaction()
    await accepting.start()
    await plain.execute(
        "UPDATE credit_offers SET status = 'accepting', job_id = $2"
        " WHERE id = $1 AND status = 'offered' AND expires_at > now()",
        offer.id,
        job_id,
    )
    await plain.execute(
        "INSERT INTO jobs (id, kind, user_id, status) VALUES ($1, 'open_account', $2, 'queued')",
        job_id,
        offer.user_id,
    )
    transaction_id = await plain.fetchval("SELECT pg_current_xact_id()::xid::text")
    await owner.execute(
        "SELECT pg_sleep_until((SELECT expires_at FROM credit_offers WHERE id = $1))", offer.id
    )

    applying = asyncio.create_task(ecs.credit.apply(user_id=offer.user_id, request_id=None))
    await _until_somebody_waits_for(transaction_id, owner)
    await accepting.commit()
    answer, created = await applying

    assert (answer.id, answer.status, created) == (offer.id, OfferStatus.ACCEPTING, False)
    assert await owner.fetchval("SELECT count(*) FROM credit_offers") == 1


async def test_an_offer_given_back_while_somebody_accepts_is_accepted(
    ecs: Application, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = await an_offer(ecs, database)
    original = CreditRepository.claim_offer
    tries: list[UUID] = []

    async def claim(self: CreditRepository, offer_id: UUID, **named: Any) -> bool:
        tries.append(offer_id)
        return False if len(tries) == 1 else await original(self, offer_id, **named)

    monkeypatch.setattr(CreditRepository, "claim_offer", claim)

    job_id = await ecs.acceptance.accept_offer(
        user_id=offer.user_id, offer_id=offer.id, request_id=None
    )

    job = await ecs.jobs.get(user_id=offer.user_id, job_id=job_id)
    assert (len(tries), job.status) == (2, "queued")


async def test_a_job_whose_event_is_parked_is_given_up_and_the_offer_stands_again(
    ecs: Application, database: Database, owner: Any
) -> None:
    offer, job_id = await an_acceptance(ecs, database)
    await owner.execute("UPDATE outbox_events SET parked_at = now(), failures = 10")

    assert [job.id for job in await ecs.outbox.find_parked_jobs()] == [job_id]
    await ecs.outbox.give_up_parked()

    job = await ecs.jobs.get(user_id=offer.user_id, job_id=job_id)
    standing = await ecs.credit.get_offer(user_id=offer.user_id, offer_id=offer.id)
    [message] = await ecs.notifications.list(user_id=offer.user_id, limit=10, after=None)
    assert (job.status, job.error_code) == ("failed", "internal")
    assert (standing.status, message.kind) == (OfferStatus.OFFERED, "acceptance_failed")
    assert await ecs.outbox.find_parked_jobs() == []


async def test_a_retry_after_failures_does_not_make_the_search_for_lost_jobs_slower(
    ecs: Application, database: Database, owner: Any
) -> None:
    _, job_id = await an_acceptance(ecs, database)
    started_and_lost = "UPDATE jobs SET status = 'running', attempts = 4, started_at = now()"
    await owner.execute(started_and_lost)
    await owner.execute(
        "UPDATE outbox_events SET attempt = 4, published_at = now() - $1::interval",
        timedelta(seconds=11),
    )

    async with ecs.outbox.unit_of_work() as uow:
        lost = await uow.outbox.redispatch_lost(patience=timedelta(seconds=10), limit=10)
        await uow.commit()

    assert lost == [job_id]


async def test_what_the_database_says_of_a_row_never_leaves_the_unit_of_work(
    ecs: Application, database: Database
) -> None:
    user_id = await a_user(database, email="zed@example.com")

    with pytest.raises(RepositoryError) as raised:
        async with ecs.auth.unit_of_work() as uow:
            await uow.auth.add_user(
                user_id=user_id,
                email="zed.secret@example.com",
                full_name="Zed Secretperson",
                password_hash="kept-secret",
            )

    told = "".join(traceback.format_exception(raised.value))
    assert not {"zed.secret", "Secretperson", "kept-secret"} & set(told.split())
    assert "Secretperson" not in told
    assert str(user_id) not in told


async def _until_somebody_waits_for(transaction_id: str, owner: Any) -> None:
    """Return when some statement waits for the end of a transaction."""
    waiting = (
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid = $1::text::xid)"
    )
    async with asyncio.timeout(10):
        # PostgreSQL has no event for this.
        while not await owner.fetchval(waiting, transaction_id):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
