import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.money import Money
from ecs.domain.prequalification.application import ApplicationForm, LoanType
from ecs.services.exceptions import AccountExists, RepositoryError, UserNotFound
from tests.builders import Database, a_user, an_acceptance, an_offer, connected

TABLES_OF_A_PERSON = ("credit_offers", "jobs", "notifications", "transactions")
TABLES_OF_APPLICATIONS = (
    "prequalification_applications",
    "prequalification_status_changes",
    "credit_reports",
    "outbox_events",
)
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
_STORE_REPORT = (
    "INSERT INTO credit_reports (application_id, cibil_score, bureau) VALUES ($1, 700, 'b')"
)
_ANNOUNCE_REPORT = """
INSERT INTO outbox_events (id, name, kind, destination, payload)
VALUES ($1, 'prequalification.credit-report-generated', 'credit_report_generated',
        'amqp:ecs.domain', jsonb_build_object('application_id', $2::uuid, 'user_id', $3::uuid))
"""


def address(user_id: UUID) -> str:
    return f"{user_id}@example.com"


async def an_application(ecs: Application, user_id: UUID) -> UUID:
    form = ApplicationForm(
        pan_number="ABCPE1234F",
        applicant_name="Asha Rao",
        monthly_income=Money(5_000_000),
        loan_amount=Money(20_000_000),
        loan_type=LoanType.HOME,
    )
    submission, _ = await ecs.prequalification.submit(form, user_id=user_id, request_id=None)
    return submission.application_id


class TestForgetUser:
    async def test_deletes_the_person_and_keeps_the_record_under_a_pseudonym(
        self, ecs: Application, operator: Application, database: Database, owner: Any
    ) -> None:
        offer, other = await an_offer(ecs, database), await an_offer(ecs, database)
        await operator.maintenance.forget_user(email=address(offer.user_id).upper())
        assert await owner.fetchval("SELECT count(*) FROM users") == 1
        for table in TABLES_OF_A_PERSON:
            users = await owner.fetch(f"SELECT DISTINCT user_id FROM {table}")
            assert {row["user_id"] for row in users} <= {other.user_id}
        record = await owner.fetchrow(
            "SELECT * FROM risk_assessments WHERE id = $1", offer.assessment.id
        )
        assert record["user_id"] != offer.user_id
        assert record["request_id"] is None
        assert (record["score"], record["record"] is None) == (offer.assessment.score, False)

    async def test_waits_until_no_credit_is_running(
        self, ecs: Application, operator: Application, database: Database, owner: Any
    ) -> None:
        offer, job_id = await an_acceptance(ecs, database)
        with pytest.raises(AccountExists):
            await operator.maintenance.forget_user(email=address(offer.user_id))
        await ecs.acceptance.open_account(job_id=job_id)
        with pytest.raises(AccountExists):
            await operator.maintenance.forget_user(email=address(offer.user_id))
        await owner.execute("UPDATE credit_accounts SET status = 'closed'")
        await operator.maintenance.forget_user(email=address(offer.user_id))
        assert await owner.fetchval("SELECT count(*) FROM credit_accounts") == 0

    @pytest.mark.parametrize(
        ("typed", "kept"),
        [
            pytest.param("ana@xn--bcher-kva.de", "ana@bücher.de", id="punycode"),
            pytest.param("jose\u0301@example.com", "jos\u00e9@example.com", id="decomposed"),
            pytest.param(" Ana@Example.COM ", "ana@example.com", id="capitals and spaces"),
        ],
    )
    async def test_knows_an_address_however_it_is_spelled(
        self, operator: Application, database: Database, owner: Any, typed: str, kept: str
    ) -> None:
        await a_user(database, email=kept)
        await operator.maintenance.forget_user(email=typed)
        assert await owner.fetchval("SELECT count(*) FROM users") == 0

    async def test_knows_nobody_twice(self, operator: Application) -> None:
        with pytest.raises(UserNotFound):
            await operator.maintenance.forget_user(email="nobody@example.com")

    async def test_deletes_applications_and_all_that_tells_of_them_but_their_audit(
        self, ecs: Application, operator: Application, owner: Any, user_id: UUID
    ) -> None:
        application_id = await an_application(ecs, user_id)
        await operator.maintenance.forget_user(email=address(user_id))
        for table in TABLES_OF_APPLICATIONS:
            assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0, table
        audited = await owner.fetch("SELECT application_id FROM audit_log")
        assert [row["application_id"] for row in audited] == [application_id]

    async def test_waits_for_a_report_that_is_being_stored_and_takes_it_along(
        self, ecs: Application, operator: Application, database: Database, user_id: UUID
    ) -> None:
        application_id = await an_application(ecs, user_id)
        async with connected(database.owner_url) as owner, connected(database.app_url) as worker:
            storing = worker.transaction()
            await storing.start()
            await worker.execute(_STORE_REPORT, application_id)
            forgetting = asyncio.create_task(
                operator.maintenance.forget_user(email=address(user_id))
            )
            while not await owner.fetchval(WAITING):  # noqa: ASYNC110  (PostgreSQL tells nobody)
                await asyncio.sleep(0.01)
            await worker.execute(_ANNOUNCE_REPORT, uuid4(), application_id, user_id)
            await storing.commit()
            await forgetting
            for table in TABLES_OF_APPLICATIONS:
                assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0, table

    async def test_is_not_in_the_power_of_the_application(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer = await an_offer(ecs, database)
        with pytest.raises(RepositoryError):
            await ecs.maintenance.forget_user(email=address(offer.user_id))
        assert await owner.fetchval("SELECT count(*) FROM credit_offers") == 1
