import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import text

from ecs.bootstrap import Application
from ecs.domain.credit.record import canonical_bytes
from ecs.domain.period import Window
from ecs.domain.transactions import IncomingTransaction
from ecs.integrations.identifiers import new_id
from ecs.repositories.applicant_file import ApplicantFile
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import AccountExists, DatabaseUnavailable
from tests.builders import (
    Database,
    a_user,
    an_acceptance,
    an_applicant,
    an_offer,
    bad_month,
    connected,
    feed,
    good_month,
    lapse,
    thin_month,
)
from tests.invariants import assert_invariants
from tests.unit.domain.credit import people

Month = Callable[[UUID, datetime], list[IncomingTransaction]]
MICROSECOND = timedelta(microseconds=1)
WINDOW = timedelta(days=30)


async def a_person(ecs: Application, database: Database, month: Month) -> UUID:
    user_id = await a_user(database)
    await feed(ecs, database, month(user_id, datetime.now(UTC)))
    return user_id


async def assert_waiting(owner: Any, how_many: int) -> None:
    """Return once so many sessions wait for an advisory lock."""
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    async with asyncio.timeout(10):
        while await owner.fetchval(waiting) < how_many:  # noqa: ASYNC110  (the server's locks)
            await asyncio.sleep(0.01)


class TestApply:
    @pytest.mark.parametrize(
        ("month", "status", "reasons"),
        [
            pytest.param(good_month, "offered", range(5), id="good"),
            pytest.param(bad_month, "denied", range(1, 5), id="bad"),
            pytest.param(thin_month, "referred", range(1, 2), id="thin"),
            pytest.param(lambda *_: [], "referred", range(1, 2), id="nothing"),
        ],
    )
    async def test_answers_what_the_month_deserves(
        self, ecs: Application, database: Database, month: Month, status: str, reasons: range
    ) -> None:
        user_id = await a_person(ecs, database, month)
        offer, is_new = await ecs.credit.apply(user_id=user_id, request_id="r")
        assert is_new
        assert offer.status == status
        assert len(offer.assessment.record["reasons"]) in reasons
        has_terms = [offer.credit_limit, offer.apr, offer.tenor_months, offer.expires_at]
        assert all((term is not None) == (status == "offered") for term in has_terms)
        assert await ecs.credit.get_offer(user_id=user_id, offer_id=offer.id) == offer

    async def test_answers_with_the_active_offer_when_there_is_one(
        self, ecs: Application, database: Database
    ) -> None:
        offer = await an_offer(ecs, database)
        assert await ecs.credit.apply(user_id=offer.user_id, request_id=None) == (offer, False)

    async def test_answers_with_the_offer_that_is_being_accepted(
        self, ecs: Application, database: Database
    ) -> None:
        offer, _ = await an_acceptance(ecs, database)
        again, is_new = await ecs.credit.apply(user_id=offer.user_id, request_id=None)
        assert (again.id, again.status, is_new) == (offer.id, "accepting", False)

    @pytest.mark.parametrize("month", [bad_month, thin_month])
    async def test_decides_anew_after_a_no(
        self, ecs: Application, database: Database, month: Month
    ) -> None:
        user_id = await a_person(ecs, database, month)
        first, _ = await ecs.credit.apply(user_id=user_id, request_id=None)
        second, is_new = await ecs.credit.apply(user_id=user_id, request_id=None)
        assert is_new
        assert second.id != first.id
        assert second.status == first.status

    async def test_refuses_whoever_has_an_account(
        self, ecs: Application, database: Database
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        await ecs.acceptance.open_account(job_id=job_id)
        with pytest.raises(AccountExists):
            await ecs.credit.apply(user_id=offer.user_id, request_id=None)

    async def test_expires_the_lapsed_offer_in_the_same_transaction(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        lapsed = await an_offer(ecs, database)
        await lapse(database, lapsed.id)
        renewed, is_new = await ecs.credit.apply(user_id=lapsed.user_id, request_id=None)
        assert is_new
        assert renewed.status == "offered"
        rows = await owner.fetch("SELECT id, status, xmin::text FROM credit_offers ORDER BY id")
        assert {row["id"]: row["status"] for row in rows} == {
            lapsed.id: "expired",
            renewed.id: "offered",
        }
        assert len({row["xmin"] for row in rows}) == 1
        await assert_invariants(database.owner_url)

    async def test_shows_a_lapsed_offer_as_expired_before_the_sweep(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        lapsed = await an_offer(ecs, database)
        await lapse(database, lapsed.id)
        shown = await ecs.credit.get_offer(user_id=lapsed.user_id, offer_id=lapsed.id)
        assert shown.status == "expired"
        assert await ecs.credit.find_active_offer(lapsed.user_id) is None
        assert await owner.fetchval("SELECT status FROM credit_offers") == "offered"
        assert await ecs.credit.expire_lapsed_offers() == 1
        assert await ecs.credit.expire_lapsed_offers() == 0
        assert await owner.fetchval("SELECT status FROM credit_offers") == "expired"

    @pytest.mark.parametrize("month", [good_month, bad_month, thin_month])
    async def test_a_call_that_waited_answers_with_the_decision_made_meanwhile(
        self, ecs: Application, database: Database, owner: Any, month: Month
    ) -> None:
        user_id = await a_person(ecs, database, month)
        async with connected(database.app_url) as holder:
            await holder.execute(
                "SELECT pg_advisory_lock(hashtextextended($1, 0))", f"credit.apply:{user_id}"
            )
            calls = [
                asyncio.create_task(ecs.credit.apply(user_id=user_id, request_id=None))
                for _ in range(4)
            ]
            await assert_waiting(owner, 4)
        answers = await asyncio.gather(*calls)
        assert sorted(is_new for _, is_new in answers) == [False, False, False, True]
        assert len({offer.id for offer, _ in answers}) == 1

    async def test_twenty_parallel_calls_make_one_offer(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        user_id = await an_applicant(ecs, database)
        answers = await asyncio.gather(
            *(ecs.credit.apply(user_id=user_id, request_id=None) for _ in range(20))
        )
        assert sum(is_new for _, is_new in answers) == 1
        assert len({offer.id for offer, _ in answers}) == 1
        assert await owner.fetchval("SELECT count(*) FROM risk_assessments") == 1
        await assert_invariants(database.owner_url)

    async def test_gives_up_in_time_when_the_lock_is_never_free(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        user_id = await an_applicant(ecs, database)
        async with connected(database.app_url) as holder:
            await holder.execute(
                "SELECT pg_advisory_lock(hashtextextended($1, 0))", f"credit.apply:{user_id}"
            )
            with pytest.raises(DatabaseUnavailable):
                await ecs.credit.apply(user_id=user_id, request_id=None)
        assert await owner.fetchval("SELECT count(*) FROM credit_offers") == 0

    async def test_decisions_of_others_are_not_shown(
        self, ecs: Application, database: Database
    ) -> None:
        mine, others = await an_offer(ecs, database), await an_offer(ecs, database)
        page = await ecs.credit.list_offers(user_id=mine.user_id, limit=100, after=None)
        assert page == [mine]
        assert await ecs.credit.find_active_offer(others.user_id) == others


class TestWindow:
    """The history is what happened in [now - 30 days, now), by the database's clock."""

    async def file_of(self, uow: UnitOfWork, user_id: UUID, *, limit: int = 100) -> ApplicantFile:
        window = Window(days=30, rows_max=limit)
        return await uow.credit.get_applicant_file(user_id, currency="BRL", money=window, mood=None)

    async def add(
        self, uow: UnitOfWork, user_id: UUID, client_id: UUID, *moments: datetime, **changes: Any
    ) -> None:
        values = {"currency": "BRL", "category": None, "amount_minor": 1} | changes
        items = [
            IncomingTransaction(
                index=index, transaction_id=uuid4(), user_id=user_id, occurred_at=moment, **values
            )
            for index, moment in enumerate(moments)
        ]
        await uow.transactions.ingest(items, client_id=client_id, ids=[new_id() for _ in items])

    @pytest.mark.parametrize(
        ("age", "seen"),
        [
            pytest.param(timedelta(), False, id="now"),
            pytest.param(-MICROSECOND, False, id="future"),
            pytest.param(MICROSECOND, True, id="just-before-now"),
            pytest.param(WINDOW, True, id="exactly-at-the-start"),
            pytest.param(WINDOW + MICROSECOND, False, id="just-before-the-start"),
        ],
    )
    async def test_is_half_open(
        self, ecs: Application, user_id: UUID, client_id: UUID, *, age: timedelta, seen: bool
    ) -> None:
        async with ecs.credit.unit_of_work() as uow:
            now = (await self.file_of(uow, user_id)).now
            await self.add(uow, user_id, client_id, now - age)
            assert len((await self.file_of(uow, user_id)).history) == seen

    async def test_keeps_the_newest_rows_when_there_are_too_many(
        self, ecs: Application, user_id: UUID, client_id: UUID
    ) -> None:
        async with ecs.credit.unit_of_work() as uow:
            now = (await self.file_of(uow, user_id)).now
            moments = [now - timedelta(hours=age) for age in (5, 1, 4, 2, 3)]
            await self.add(uow, user_id, client_id, *moments)
            file = await self.file_of(uow, user_id, limit=3)
        newest = tuple(now - timedelta(hours=age) for age in (1, 2, 3))
        assert file.history.occurred_at == newest

    async def test_does_not_see_other_currencies_or_other_people(
        self, ecs: Application, database: Database, user_id: UUID, client_id: UUID
    ) -> None:
        stranger = await a_user(database)
        async with ecs.credit.unit_of_work() as uow:
            now = (await self.file_of(uow, user_id)).now
            moment = now - timedelta(days=1)
            await self.add(uow, user_id, client_id, moment, currency="USD")
            await self.add(uow, stranger, client_id, moment)
            assert len((await self.file_of(uow, user_id)).history) == 0

    async def test_counts_days_in_utc_wherever_the_server_lives(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        """A day of a zone with summer time has 23 to 25 hours."""
        name = await owner.fetchval("SELECT current_database()")
        await owner.execute(f"ALTER DATABASE {name} SET timezone = 'America/New_York'")
        async with ecs.credit.unit_of_work() as uow:
            assert await uow._session.scalar(text("SHOW timezone")) == "UTC"


class TestRecord:
    @settings(
        max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(rows=people.any_rows(), moods=people.any_moods())
    async def test_loses_no_bit_of_any_decision_in_the_database(
        self, ecs: Application, plain: Any, rows: list[people.Row], moods: list[people.MoodRow]
    ) -> None:
        facts = people.application(rows, emotion=people.shared(moods))
        decided = canonical_bytes(ecs.credit.calculator.calculate(facts))
        stored = json.loads(await plain.fetchval("SELECT $1::jsonb", decided.decode()))
        assert json.dumps(stored, sort_keys=True, separators=(",", ":")).encode() == decided

    async def test_names_who_asked_and_by_what_it_was_decided(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer = await an_offer(ecs, database)
        row = await owner.fetchrow("SELECT * FROM risk_assessments")
        card, policy = ecs.credit.calculator.scorecard, ecs.credit.calculator.policy
        assert row["request_id"] == "req-offer"
        assert row["user_id"] == offer.user_id
        assert row["decided_at"] == offer.created_at
        assert (row["model_version"], row["model_sha256"]) == (
            card.reference.version,
            card.reference.sha256,
        )
        assert (row["policy_version"], row["policy_sha256"]) == (
            policy.reference.version,
            policy.reference.sha256,
        )
        assert len(row["transaction_ids"]) == 60
        assert row["inputs_sha256"] == json.loads(row["record"])["inputs"]["sha256"]
