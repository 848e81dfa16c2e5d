"""What the database itself refuses, whoever asks."""

from typing import Any

import asyncpg
import pytest
from sqlmodel import SQLModel

from ecs.bootstrap import Application, owner_application
from ecs.repositories import tables  # noqa: F401  (registers every table)
from ecs.repositories.privileges import PRIVILEGES
from ecs.services.exceptions import RepositoryError
from tests.builders import Database, an_acceptance, settings_for

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")

SOMEBODY = "'00000000-0000-0000-0000-000000000000'"


async def a_full_database(ecs: Application, database: Database) -> None:
    """At least one row in every table that a CHECK is tried on."""
    _, job_id = await an_acceptance(ecs, database)
    await ecs.acceptance.open_account(job_id=job_id)


class TestRights:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE risk_assessments SET score = 1",
            "DELETE FROM risk_assessments",
            "TRUNCATE risk_assessments CASCADE",
            "UPDATE transactions SET amount_minor = 1",
            "DELETE FROM transactions",
            "TRUNCATE transactions",
            (
                "INSERT INTO clients (id, name, secret_hmac, scopes)"
                " VALUES (gen_random_uuid(), 'me', sha256(''), '{transactions:write}')"
            ),
            "DELETE FROM users",
            "DELETE FROM credit_accounts",
            "UPDATE alembic_version SET version_num = '0'",
            "CREATE TABLE mine (id int)",
            "ALTER TABLE transactions DROP CONSTRAINT transactions_amount_range",
            "ALTER TABLE transactions DISABLE TRIGGER ALL",
            "DROP TABLE risk_assessments",
            "SET ROLE ecs_owner",
        ],
    )
    async def test_the_application_may_not(self, plain: Any, statement: str) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await plain.execute(statement)

    def test_every_table_has_its_rights_written_down(self) -> None:
        assert set(PRIVILEGES) == {*SQLModel.metadata.tables, "alembic_version"}

    @pytest.mark.parametrize("table", sorted(PRIVILEGES))
    async def test_the_application_has_exactly_the_rights_written_down(
        self, plain: Any, table: str
    ) -> None:
        granted = {
            right
            for right in RIGHTS
            if await plain.fetchval("SELECT has_table_privilege($1, $2)", table, right)
        }
        assert granted == set(PRIVILEGES[table].split(", "))

    async def test_only_the_owner_can_empty_the_tables(
        self, ecs: Application, database: Database, redis_url: str, owner: Any
    ) -> None:
        await a_full_database(ecs, database)
        with pytest.raises(RepositoryError):
            await ecs.maintenance.remove_everything()
        assert await owner.fetchval("SELECT count(*) FROM credit_accounts") == 1
        async with owner_application(settings_for(database, redis_url)) as operator:
            emptied = await operator.maintenance.remove_everything()
        assert set(emptied) == set(SQLModel.metadata.tables)
        assert await owner.fetchval("SELECT count(*) FROM credit_accounts") == 0
        assert await owner.fetchval("SELECT count(*) FROM alembic_version") == 1


class TestChecks:
    """Tried by the owner, who may write anything: what remains is the constraint."""

    @pytest.mark.parametrize(
        ("table", "assignment", "constraint"),
        [
            ("risk_assessments", "probability_of_default = 'NaN'", "probability_of_default_range"),
            ("risk_assessments", "probability_of_default = 1.1", "probability_of_default_range"),
            ("risk_assessments", "probability_of_default = '-inf'", "probability_of_default_range"),
            ("risk_assessments", "risk_score = 'NaN'", "risk_score_range"),
            ("risk_assessments", "risk_score = -0.001", "risk_score_range"),
            ("risk_assessments", "risk_score = 'Infinity'", "risk_score_range"),
            ("risk_assessments", "score = 10001", "score_range"),
            ("risk_assessments", "score = NULL", "scored_whole_or_not"),
            ("risk_assessments", "risk_category = 'fine'", "risk_category_known"),
            ("credit_offers", "apr = 'NaN'", "apr_range"),
            ("credit_offers", "apr = -0.01", "apr_range"),
            ("credit_offers", "apr = 10", "apr_range"),
            ("credit_offers", "credit_limit_minor = 0", "limit_positive"),
            ("credit_offers", "credit_limit_minor = NULL", "terms_whole_or_none"),
            ("credit_offers", "tenor_months = 0", "tenor_positive"),
            ("credit_offers", "status = 'denied'", "terms_whole_or_none"),
            ("credit_offers", "status = 'maybe'", "status_known"),
            ("credit_offers", "job_id = NULL", "accepted_by_a_job"),
            ("credit_offers", "expires_at = created_at", "expire_later"),
            ("credit_offers", "currency = 'brl'", "currency_form"),
            ("credit_offers", "currency = E'BRL\\n'", "currency_form"),
            ("credit_accounts", "apr = 'NaN'", "apr_range"),
            ("credit_accounts", "available_credit_minor = -1", "available_within_limit"),
            (
                "credit_accounts",
                "available_credit_minor = credit_limit_minor + 1",
                "available_within_limit",
            ),
            ("credit_accounts", "credit_type = 'gift'", "credit_type_known"),
            ("transactions", "amount_minor = 0", "amount_not_zero"),
            ("transactions", "amount_minor = 100000000000000", "amount_range"),
            ("transactions", "amount_minor = -100000000000000", "amount_range"),
            ("transactions", "currency = 'R$'", "currency_form"),
            ("transactions", "category = 'yachts'", "category_known"),
            ("jobs", "attempts = -1", "attempts_not_negative"),
            ("jobs", "status = 'failed'", "error_when_failed"),
            ("jobs", "finished_at = NULL", "finished_when_done"),
            ("outbox_events", "destination = 'mail:x'", "destination_form"),
            ("outbox_events", "destination = E'rq:x\\n'", "destination_form"),
            ("outbox_events", "attempt = 0", "attempt_positive"),
            ("notifications", "kind = 'advert'", "kind_known"),
            ("users", "full_name = ''", "full_name_length"),
            ("users", "email = repeat('a', 321)", "email_length"),
            ("clients", "scopes = '{}'", "have_a_scope"),
            ("clients", "secret_hmac = 'short'", "secret_hmac_length"),
        ],
    )
    async def test_refuses(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        table: str,
        assignment: str,
        constraint: str,
    ) -> None:
        await a_full_database(ecs, database)
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await owner.execute(f"UPDATE {table} SET {assignment}")
        assert refused.value.constraint_name == f"{table}_{constraint}"

    @pytest.mark.parametrize(
        ("table", "change", "index"),
        [
            ("credit_accounts", "status = 'closed'", "credit_accounts_one_per_offer"),
            ("credit_offers", "user_id = user_id", "credit_offers_one_per_assessment"),
            ("notifications", "user_id = user_id", "notifications_once_per_job"),
            ("users", "email = upper(email)", "users_email_is_unique"),
        ],
    )
    async def test_refuses_a_second_one(
        self, ecs: Application, database: Database, owner: Any, table: str, change: str, index: str
    ) -> None:
        await a_full_database(ecs, database)
        await owner.execute(
            f"CREATE TEMP TABLE copy AS SELECT * FROM {table};"
            f"UPDATE copy SET id = gen_random_uuid(), {change}"
        )
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await owner.execute(f"INSERT INTO {table} SELECT * FROM copy")
        assert refused.value.constraint_name == index

    async def test_refuses_a_second_active_account_of_one_person(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        await a_full_database(ecs, database)
        await a_full_database(ecs, database)
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await owner.execute(
                "UPDATE credit_accounts SET user_id = (SELECT min(user_id::text)"
                "::uuid FROM credit_accounts)"
            )
        assert refused.value.constraint_name == "credit_accounts_one_active_per_user"

    async def test_refuses_a_second_active_offer_of_one_person(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        await an_acceptance(ecs, database)
        await an_acceptance(ecs, database)
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await owner.execute(
                "UPDATE credit_offers SET user_id = (SELECT min(user_id::text)"
                "::uuid FROM credit_offers)"
            )
        assert refused.value.constraint_name == "credit_offers_one_active_per_user"


class TestPlans:
    @pytest.mark.parametrize(
        ("statement", "index"),
        [
            (
                (
                    f"SELECT id FROM transactions WHERE user_id = {SOMEBODY}"
                    " AND occurred_at >= now() - interval '30 days' AND occurred_at < now()"
                    " ORDER BY occurred_at DESC, id DESC LIMIT 1000"
                ),
                "transactions_by_user_newest_first",
            ),
            (
                (
                    "SELECT id FROM outbox_events WHERE destination = 'rq:accounts'"
                    " AND published_at IS NULL AND parked_at IS NULL AND available_at <= now()"
                    " ORDER BY available_at LIMIT 200 FOR UPDATE SKIP LOCKED"
                ),
                "outbox_events_waiting",
            ),
            (
                f"SELECT id FROM credit_offers WHERE user_id = {SOMEBODY} ORDER BY id DESC LIMIT 1",
                "credit_offers_by_user_newest_first",
            ),
            (
                (
                    "SELECT id FROM credit_offers WHERE status = 'offered' AND expires_at <= now()"
                    " ORDER BY expires_at LIMIT 1000"
                ),
                "credit_offers_by_expiry",
            ),
        ],
    )
    async def test_hot_paths_have_an_index(self, plain: Any, statement: str, index: str) -> None:
        await plain.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        plan = "\n".join(row[0] for row in await plain.fetch(f"EXPLAIN {statement}"))
        assert index in plan
        assert "Sort" not in plan
