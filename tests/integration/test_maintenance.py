from typing import Any
from uuid import UUID

import pytest

from ecs.bootstrap import Application
from ecs.services.exceptions import AccountExists, RepositoryError, UserNotFound
from tests.builders import Database, a_user, an_acceptance, an_offer

TABLES_OF_A_PERSON = ("credit_offers", "jobs", "notifications", "transactions")


def address(user_id: UUID) -> str:
    return f"{user_id}@example.com"


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

    async def test_is_not_in_the_power_of_the_application(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer = await an_offer(ecs, database)
        with pytest.raises(RepositoryError):
            await ecs.maintenance.forget_user(email=address(offer.user_id))
        assert await owner.fetchval("SELECT count(*) FROM credit_offers") == 1
