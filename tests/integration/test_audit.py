import asyncio
from datetime import timedelta
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import asyncpg
import pytest

from ecs.bootstrap import Application, application
from ecs.domain.audit import Seal
from ecs.repositories.audit_repository import AuditRepository
from ecs.repositories.exceptions import ConflictError
from ecs.services import audit_service
from tests.builders import Database, connected, settings_for
from tests.integration.audit_support import (
    INSERT,
    entries,
    note,
    seal_all,
    sealed_ids,
    stored_ids,
    verified,
)


class TestEntries:
    async def test_are_stored_as_they_were_given(self, ecs: Application, owner: Any) -> None:
        noted = entries(3)
        async with ecs.audit.unit_of_work() as uow:
            await uow.audit.add(noted)
            await uow.commit()
        rows = await owner.fetch("SELECT * FROM audit_log ORDER BY id")
        assert [dict(row) for row in rows] == [
            {
                "id": ANY,
                "at": ANY,
                "actor": entry.actor,
                "service": entry.service,
                "action": entry.action.value,
                "application_id": entry.application_id,
                "request_id": entry.request_id,
            }
            for entry in noted
        ]

    async def test_may_be_none(self, ecs: Application, owner: Any) -> None:
        await note(ecs, 0)
        assert await stored_ids(owner) == []

    async def test_go_with_what_they_belong_to(self, ecs: Application, owner: Any) -> None:
        async with ecs.audit.unit_of_work() as uow:
            await uow.audit.add(entries(1))
        assert await stored_ids(owner) == []


class TestRights:
    @pytest.mark.parametrize(
        "tampering",
        [
            "UPDATE audit_log SET actor = actor",
            "DELETE FROM audit_log",
            "TRUNCATE audit_log",
            "UPDATE audit_seals SET hash = hash",
            "DELETE FROM audit_seals",
            "TRUNCATE audit_seals",
        ],
    )
    async def test_the_application_cannot_change_what_is_written(
        self, plain: Any, tampering: str
    ) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await plain.execute(tampering)

    async def test_the_application_cannot_choose_a_rows_id(self, plain: Any) -> None:
        with pytest.raises(asyncpg.GeneratedAlwaysError):
            await plain.execute(
                "INSERT INTO audit_log (id, actor, service, action, application_id)"
                " VALUES (1, 'system', 'api', 'ENCRYPT', gen_random_uuid())"
            )


class TestSeal:
    async def test_covers_every_row(self, ecs: Application, owner: Any) -> None:
        await note(ecs, 3)
        await seal_all(ecs)
        await note(ecs, 2)
        await seal_all(ecs)
        assert await sealed_ids(owner) == await stored_ids(owner)
        found = await verified(ecs)
        assert (found.rows, found.seals, found.waiting_rows, found.is_sound) == (5, 2, 0, True)

    async def test_is_not_made_over_nothing(self, ecs: Application, owner: Any) -> None:
        await seal_all(ecs)
        await note(ecs, 1)
        await seal_all(ecs)
        await seal_all(ecs)
        assert await owner.fetchval("SELECT count(*) FROM audit_seals") == 1

    async def test_of_a_backlog_is_made_in_several(
        self, ecs: Application, owner: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(audit_service, "ROWS_MAX", 4)
        await note(ecs, 11)
        await seal_all(ecs)
        sizes = await owner.fetch("SELECT cardinality(row_ids) FROM audit_seals ORDER BY id")
        assert [size[0] for size in sizes] == [4, 4, 3]
        assert (await verified(ecs)).is_sound

    async def test_goes_on_after_a_restart(
        self, ecs: Application, database: Database, redis_url: str
    ) -> None:
        await note(ecs, 2)
        await seal_all(ecs)
        await note(ecs, 2)
        async with application(settings_for(database, redis_url), name="restarted") as restarted:
            await seal_all(restarted)
            found = await verified(restarted)
        assert (found.rows, found.seals, found.is_sound) == (4, 2, True)

    async def test_passes_over_ids_that_were_rolled_back(
        self, ecs: Application, owner: Any
    ) -> None:
        await note(ecs, 1)
        async with ecs.audit.unit_of_work() as uow:
            await uow.audit.add(entries(3))
        await note(ecs, 1)
        await seal_all(ecs)
        first, last = await sealed_ids(owner)
        assert last == first + 4
        assert (await verified(ecs)).is_sound


class TestOutOfOrder:
    async def test_a_lower_id_that_commits_later_is_waited_for(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        async with connected(database.app_url) as slow:
            late = slow.transaction()
            await late.start()
            lower = await slow.fetchval(INSERT)
            await note(ecs, 1)
            waiting = await ecs.audit.seal()
            assert waiting is not None
            assert waiting.last_id > lower
            assert await ecs.audit.seal(waiting) == waiting
            assert await sealed_ids(owner) == []
            await late.commit()
        assert await ecs.audit.seal(waiting) is None
        assert await sealed_ids(owner) == await stored_ids(owner)
        assert lower in await sealed_ids(owner)

    async def test_a_writer_that_came_later_is_not_waited_for(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        async with connected(database.app_url) as early, connected(database.app_url) as later:
            first = early.transaction()
            await first.start()
            await early.fetchval(INSERT)
            await note(ecs, 1)
            waiting = await ecs.audit.seal()
            async with later.transaction():
                unsealed = await later.fetchval(INSERT)
                await first.commit()
                assert await ecs.audit.seal(waiting) is None
                assert len(await sealed_ids(owner)) == 2
        await seal_all(ecs)
        assert (await sealed_ids(owner))[-1] == unsealed

    async def test_a_writer_without_an_id_yet_is_waited_for(
        self, ecs: Application, database: Database
    ) -> None:
        await note(ecs, 1)
        async with connected(database.app_url) as slow, slow.transaction():
            await slow.execute("LOCK TABLE audit_log IN ROW EXCLUSIVE MODE")
            waiting = await ecs.audit.seal()
            assert waiting is not None
            assert waiting.writers

    async def test_a_writer_that_comes_while_we_look_is_behind_what_we_seal(
        self, ecs: Application, database: Database, owner: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await note(ecs, 1)
        written = await stored_ids(owner)
        list_writers = AuditRepository.list_writers
        async with connected(database.app_url) as slow, slow.transaction():

            async def list_and_be_late(repository: AuditRepository) -> frozenset[str]:
                found = await list_writers(repository)
                await slow.fetchval(INSERT)
                await note(ecs, 1)
                return found

            monkeypatch.setattr(AuditRepository, "list_writers", list_and_be_late)
            await seal_all(ecs)
            assert await sealed_ids(owner) == written
            monkeypatch.undo()
        await seal_all(ecs)
        assert await sealed_ids(owner) == await stored_ids(owner)

    async def test_the_locks_of_many_writers_are_all_seen(
        self, ecs: Application, database: Database
    ) -> None:
        # A session keeps its first sixteen locks on a fast path, later ones in the common table.
        catalogs = "SELECT oid::regclass::text AS name FROM pg_class WHERE oid < 16384"
        readable = "relkind = 'r' AND has_table_privilege(oid, 'SELECT') LIMIT 40"
        await note(ecs, 1)
        async with (
            connected(database.app_url) as few,
            connected(database.app_url) as many,
            few.transaction(),
            many.transaction(),
        ):
            for catalog in await many.fetch(f"{catalogs} AND {readable}"):
                await many.execute(f"SELECT FROM {catalog['name']} LIMIT 0")
            await few.fetchval(INSERT)
            await many.fetchval(INSERT)
            waiting = await ecs.audit.seal()
            paths = await few.fetch(
                "SELECT fastpath FROM pg_locks WHERE relation = 'audit_log'::regclass"
                " AND mode = 'RowExclusiveLock'"
            )
        assert {path["fastpath"] for path in paths} == {True, False}
        assert waiting is not None
        assert len(waiting.writers) == 2

    @pytest.mark.timeout(120)
    async def test_under_load_nothing_is_sealed_too_early_or_left_out(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        done = asyncio.Event()

        async def write(commits: int) -> None:
            async with connected(database.app_url) as connection:
                for number in range(commits):
                    transaction = connection.transaction()
                    await transaction.start()
                    await connection.fetchval(INSERT)
                    await connection.execute("SELECT pg_sleep($1)", (number % 5) / 500)
                    await connection.fetchval(INSERT)
                    await (transaction.rollback if number % 7 == 0 else transaction.commit)()

        async def seal() -> None:
            waiting = None
            while not done.is_set():
                waiting = await ecs.audit.seal(waiting)

        sealers = [asyncio.create_task(seal()) for _ in range(2)]
        await asyncio.gather(*(write(50) for _ in range(6)))
        done.set()
        await asyncio.gather(*sealers)
        await seal_all(ecs)
        assert await sealed_ids(owner) == await stored_ids(owner)
        found = await verified(ecs)
        assert found.is_sound
        assert found.seals > 3


class TestTwoSealers:
    async def test_make_one_chain(self, ecs: Application, owner: Any) -> None:
        for _ in range(5):
            await note(ecs, 3)
            await asyncio.gather(*(ecs.audit.seal() for _ in range(4)))
        await seal_all(ecs)
        assert await sealed_ids(owner) == await stored_ids(owner)
        assert (await verified(ecs)).is_sound

    async def test_one_leaves_the_round_to_the_other(self, ecs: Application, owner: Any) -> None:
        await note(ecs, 1)
        async with ecs.audit.unit_of_work() as uow:
            assert await uow.audit.try_to_seal()
            await seal_all(ecs)
            assert await sealed_ids(owner) == []
        await seal_all(ecs)
        assert len(await sealed_ids(owner)) == 1

    async def test_the_table_itself_refuses_a_fork(self, ecs: Application) -> None:
        await note(ecs, 1)
        await seal_all(ecs)
        async with ecs.audit.unit_of_work() as uow:
            seal = await uow.audit.find_seal_after(0)
        assert seal is not None
        with pytest.raises(ConflictError, match="audit_seals_pkey"):
            await store(ecs, seal)

    async def test_one_that_dies_halfway_leaves_nothing(
        self, ecs: Application, database: Database, owner: Any, plain: Any
    ) -> None:
        await note(ecs, 2)
        async with connected(database.app_url) as dying:
            await dying.execute("BEGIN")
            await dying.execute(
                "SELECT pg_try_advisory_xact_lock(hashtextextended('ecs.audit_seals', 0))"
            )
            await dying.execute(
                "INSERT INTO audit_seals (id, first_id, last_id, row_ids, row_digests,"
                " previous_hash, hash) VALUES (1, 1, 1, '{1}', '{a}', '', '')"
            )
            pid = await dying.fetchval("SELECT pg_backend_pid()")
            await seal_all(ecs)
            assert await sealed_ids(owner) == []
            # Waits until the session is gone: up to a second, in milliseconds.
            assert await plain.fetchval("SELECT pg_terminate_backend($1, 1000)", pid)
        await seal_all(ecs)
        assert (await verified(ecs)).is_sound
        assert len(await sealed_ids(owner)) == 2


class TestAccesses:
    async def test_an_application_without_its_encrypt_row_is_named(
        self, ecs: Application, owner: Any, user_id: UUID
    ) -> None:
        application_id = await an_application(owner, user_id)
        found = await verified(ecs)
        assert (found.unseen_encryption, found.is_sound) == (application_id, False)
        await note_access(owner, application_id, "ENCRYPT")
        assert (await verified(ecs)).is_sound

    async def test_a_report_without_a_decrypt_row_before_it_is_named(
        self, ecs: Application, owner: Any, user_id: UUID
    ) -> None:
        application_id = await an_application(owner, user_id)
        await note_access(owner, application_id, "ENCRYPT")
        await owner.execute(
            "INSERT INTO credit_reports (application_id, cibil_score, bureau)"
            " VALUES ($1, 700, 'simulated')",
            application_id,
        )
        assert (await verified(ecs)).unseen_decryption == application_id
        await note_access(owner, application_id, "DECRYPT")
        assert (await verified(ecs)).unseen_decryption == application_id  # After the report.
        await note_access(owner, application_id, "DECRYPT", before=timedelta(minutes=1))
        found = await verified(ecs)
        assert (found.unseen_decryption, found.unseen_encryption) == (None, None)


async def store(ecs: Application, seal: Seal) -> None:
    async with ecs.audit.unit_of_work() as uow:
        await uow.audit.add_seal(seal)
        await uow.commit()


async def note_access(
    owner: Any, application_id: UUID, action: str, *, before: timedelta = timedelta(0)
) -> None:
    await owner.execute(
        "INSERT INTO audit_log (actor, service, action, application_id, at)"
        " VALUES ('system', 'api', $2, $1, clock_timestamp() - $3::interval)",
        *(application_id, action, before),
    )


async def an_application(owner: Any, user_id: UUID) -> UUID:
    application_id: UUID = await owner.fetchval(
        "INSERT INTO prequalification_applications (id, user_id, pan_ciphertext, pan_blind_index,"
        " pan_masked, applicant_name, loan_type, monthly_income_minor, loan_amount_minor, status,"
        " duplicate_period) VALUES (gen_random_uuid(), $1, 'x', $2, 'XXXXXX234F', 'A', 'HOME',"
        " 1, 1, 'PENDING', tstzrange(now(), now() + interval '30 days')) RETURNING id",
        *(user_id, bytes(32)),
    )
    return application_id
