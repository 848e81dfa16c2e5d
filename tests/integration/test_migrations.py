import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from ecs.bootstrap import Application
from ecs.repositories import schema
from ecs.services.readiness_service import Readiness
from tests.builders import Database
from tests.integration.mail_support import a_mail_job, publish

CHECKOUT: Final = Path(__file__).parents[2]
# Everything a program could tell two schemas apart by.
SCHEMA: Final = (
    """SELECT table_name, ordinal_position, column_name, data_type, udt_name, is_nullable,
        column_default, numeric_precision, numeric_scale
       FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2""",
    """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
       WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    """SELECT relname, relacl::text, relowner::regrole::text FROM pg_class
       WHERE relnamespace = 'public'::regnamespace ORDER BY 1""",
    "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    """SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1""",
)


async def alembic(database: Database, *arguments: str) -> str:
    """Run the command as an operator does, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "alembic",
        *arguments,
        cwd=CHECKOUT,
        env=os.environ | {"DB_URL": database.app_url, "DB_OWNER_URL": database.owner_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def schema_of(owner: Any) -> list[list[tuple[Any, ...]]]:
    return [[tuple(row) for row in await owner.fetch(question)] for question in SCHEMA]


@pytest.mark.timeout(120)
class TestMigrations:
    async def test_down_and_up_again_leave_the_same_schema(
        self, database: Database, owner: Any
    ) -> None:
        before = await schema_of(owner)
        await alembic(database, "downgrade", "base")
        tables = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert [row["tablename"] for row in tables] == ["alembic_version"]
        await alembic(database, "upgrade", "head")
        assert await schema_of(owner) == before

    async def test_going_back_to_a_program_without_mail_ends_what_it_never_would(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, unfinished = await a_mail_job(ecs, database)
        _, leased = await a_mail_job(ecs, database)
        _, sent = await a_mail_job(ecs, database)
        async with ecs.notifications.unit_of_work() as uow:
            await uow.jobs.lease(leased, duration=timedelta(minutes=1))
            await uow.jobs.succeed(sent, result={"sent": True})
            await uow.commit()
        await publish(owner, sent, seconds_ago=1)
        await alembic(database, "downgrade", "202611210735")
        jobs = await owner.fetch("SELECT id, status, error_code FROM jobs WHERE kind='send_email'")
        events = await owner.fetch("SELECT id FROM outbox_events WHERE destination = 'rq:mail'")
        await alembic(database, "upgrade", "head")
        not_sent = ("failed", "email_not_sent")
        assert {row["id"]: (row["status"], row["error_code"]) for row in jobs} == {
            unfinished: not_sent,
            leased: not_sent,
            sent: ("succeeded", None),
        }
        assert [row["id"] for row in events] == [sent]

    async def test_the_tables_of_the_program_are_those_of_the_migrations(
        self, database: Database
    ) -> None:
        assert "No new upgrade operations detected" in await alembic(database, "check")

    async def test_two_upgrades_at_once_both_succeed(self, database: Database, owner: Any) -> None:
        before = await schema_of(owner)
        await alembic(database, "downgrade", "base")
        await asyncio.gather(*(alembic(database, "upgrade", "head") for _ in range(2)))
        assert await schema_of(owner) == before
        assert await owner.fetchval("SELECT count(*) FROM alembic_version") == 1


def test_the_program_needs_the_newest_schema() -> None:
    script = ScriptDirectory.from_config(Config(str(CHECKOUT / "alembic.ini")))
    assert script.get_heads() == [schema.REVISION]


class TestReadiness:
    async def test_a_broker_that_is_down_only_degrades(self, ecs: Application) -> None:
        verdict, up = await ecs.readiness.check()
        assert verdict is Readiness.DEGRADED
        assert up == {"postgresql": True, "redis": True, "rabbitmq": False}

    @pytest.mark.parametrize(
        ("statement", "expected"),
        [
            ("UPDATE alembic_version SET version_num = '202001010000'", Readiness.UNAVAILABLE),
            ("DELETE FROM alembic_version", Readiness.UNAVAILABLE),
            ("ALTER TABLE alembic_version RENAME TO gone", Readiness.UNAVAILABLE),
            ("UPDATE alembic_version SET version_num = '299901010000'", Readiness.DEGRADED),
        ],
        ids=["behind", "empty", "never-migrated", "ahead-during-a-deployment"],
    )
    async def test_the_schema_must_not_be_behind(
        self, ecs: Application, owner: Any, statement: str, expected: Readiness
    ) -> None:
        await owner.execute(statement)
        assert (await ecs.readiness.check())[0] is expected
