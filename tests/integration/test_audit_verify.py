"""``make audit-verify``, run after somebody with the owner's rights was there."""

import sys
from pathlib import Path
from typing import Any

import pytest

from ecs.bootstrap import Application, application
from scripts.stack import system
from tests.builders import Database, connected, environment_for, settings_for
from tests.commands import Said, run
from tests.integration.audit_support import (
    INSERT_AT,
    entries,
    note,
    seal_all,
    stored_ids,
    verified,
)

# Three seals over ids 1 to 9, but for 5, which was rolled back.
TAMPERING = {
    "a changed row": (
        "UPDATE audit_log SET actor = 'system' WHERE id = 3",
        "row 3 has been changed",
    ),
    "a changed instant": (
        "UPDATE audit_log SET at = at - interval '1 microsecond' WHERE id = 9",
        "row 9 has been changed",
    ),
    "an instant without an end": (
        "UPDATE audit_log SET at = 'infinity' WHERE id = 2",
        "row 2 has been changed",
    ),
    "an unheard-of action": (
        (
            "ALTER TABLE audit_log DROP CONSTRAINT audit_log_action_known;"
            " UPDATE audit_log SET action = 'READ' WHERE id = 2"
        ),
        "row 2 has been changed",
    ),
    "several changed rows": (
        "UPDATE audit_log SET service = 'none' WHERE id IN (8, 4)",
        "row 4 has been changed",
    ),
    "swapped rows": (
        (
            "UPDATE audit_log l SET (at, actor, service, action, application_id, request_id) ="
            " (SELECT o.at, o.actor, o.service, o.action, o.application_id, o.request_id"
            " FROM audit_log o WHERE o.id = 8 - l.id) WHERE l.id IN (2, 6)"
        ),
        "row 2 has been changed",
    ),
    "a deleted row": ("DELETE FROM audit_log WHERE id = 6", "row 6 is missing"),
    "no rows at all": ("DELETE FROM audit_log", "row 1 is missing"),
    "a row in a gap": (INSERT_AT.replace("$1", "5"), "row 5 was slipped in"),
    "a row before all others": (INSERT_AT.replace("$1", "-7"), "row -7 was slipped in"),
    "a changed seal": (
        "UPDATE audit_seals SET row_digests[1] = row_digests[2] WHERE id = 2",
        "seal 2 has been changed",
    ),
    "a postdated seal": (
        "UPDATE audit_seals SET sealed_at = now() + interval '1 day' WHERE id = 3",
        "seal 3 has been changed",
    ),
    "a seal with its row removed": (
        (
            "DELETE FROM audit_log WHERE id = 3;"
            " UPDATE audit_seals SET row_ids = '{1,2}', row_digests = row_digests[1:2] WHERE id = 1"
        ),
        "seal 1 has been changed",
    ),
    "a removed seal": ("DELETE FROM audit_seals WHERE id = 2", "seal 2 is missing"),
    "a removed first seal": ("DELETE FROM audit_seals WHERE id = 1", "seal 1 is missing"),
    "reordered seals": (
        (
            "UPDATE audit_seals SET id = id + 10;"
            " UPDATE audit_seals SET id = CASE id WHEN 11 THEN 1 WHEN 12 THEN 3 ELSE 2 END"
        ),
        "seal 2 has been changed",
    ),
}


@pytest.fixture
async def whole(ecs: Application, database: Database) -> Database:
    """Rows 1 to 9 without 5, under three seals."""
    await note(ecs, 3)
    await seal_all(ecs)
    await note(ecs, 1)
    async with ecs.audit.unit_of_work() as uow:
        await uow.audit.add(entries(1))
    await note(ecs, 1)
    await seal_all(ecs)
    await note(ecs, 3)
    await seal_all(ecs)
    return database


async def said_by(database: Database, redis_url: str) -> Said:
    environment = environment_for(database, redis_url)
    return await run(sys.executable, "-m", "scripts.audit_verify", environment=environment)


class TestCommand:
    async def test_says_that_all_is_as_it_was_written(
        self, ecs: Application, whole: Database, redis_url: str
    ) -> None:
        await note(ecs, 2)
        said = (await said_by(whole, redis_url)).printed
        assert said.startswith(
            "8 rows under 3 seals are as they were written; 2 rows wait for their seal\n"
        )
        assert "The last good seal is 3, " in said
        assert "Not to be seen from here: rows cut off at the very end" in said

    async def test_says_that_there_is_nothing_yet(self, database: Database, redis_url: str) -> None:
        said = (await said_by(database, redis_url)).printed
        assert said.startswith("0 rows under 0 seals are as they were written; 0 rows wait")

    @pytest.mark.parametrize(("statement", "flaw"), TAMPERING.values(), ids=TAMPERING)
    async def test_names_what_was_tampered_with(
        self, whole: Database, owner: Any, redis_url: str, statement: str, flaw: str
    ) -> None:
        await owner.execute(statement)
        said = await said_by(whole, redis_url)
        assert said.code == 1, said
        assert said.out.startswith(f"BROKEN: {flaw}"), said

    async def test_says_that_nobody_seals(
        self, ecs: Application, whole: Database, owner: Any, redis_url: str
    ) -> None:
        await note(ecs, 1)
        await owner.execute(
            "UPDATE audit_log SET at = at - interval '2 minutes'"
            " WHERE id > (SELECT max(last_id) FROM audit_seals)"
        )
        said = await said_by(whole, redis_url)
        assert said.code == 1
        assert "LATE: the oldest of them waits for 12" in said.out
        assert "8 rows under 3 seals are as they were written; 1 rows wait" in said.out

    async def test_knows_a_chain_made_with_another_key(
        self, whole: Database, redis_url: str
    ) -> None:
        environment = environment_for(whole, redis_url) | {"AUDIT_SEAL_KEY": "x" * 40}
        said = await run(sys.executable, "-m", "scripts.audit_verify", environment=environment)
        assert said.code == 1
        assert "seal 1 has been changed, or was made with another key" in said.out

    async def test_says_that_nothing_was_checked_without_a_database(
        self, database: Database, redis_url: str
    ) -> None:
        environment = environment_for(database, redis_url)
        environment["DB_OWNER_URL"] = "postgresql://owner:odd@127.0.0.1:1/nobody"
        said = await run(sys.executable, "-m", "scripts.audit_verify", environment=environment)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("Nothing was checked to its end: DatabaseUnavailable")


class TestRestoredDump:
    async def test_goes_on_with_the_chain(
        self, whole: Database, empty_database: Database, redis_url: str, tmp_path: Path
    ) -> None:
        dump, psql = system.postgres_program("pg_dump"), system.postgres_program("psql")
        file, there = str(tmp_path / "dump.sql"), empty_database.owner_url
        for command in (
            (dump, "--no-comments", "-f", file, whole.owner_url),
            (psql, "-qX", "-v", "ON_ERROR_STOP=1", "-f", file, there),
        ):
            said = await run(*command)
            assert said.code == 0, said.err
        async with application(settings_for(empty_database, redis_url), name="restored") as ecs:
            await note(ecs, 2)
            await seal_all(ecs)
            found = await verified(ecs)
        assert (found.rows, found.seals, found.waiting_rows, found.is_sound) == (10, 4, 0, True)
        async with connected(there) as connection:
            assert await stored_ids(connection) == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
