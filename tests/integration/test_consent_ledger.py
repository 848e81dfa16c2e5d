"""The ledger outlives the application's wishes, and the person."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from ecs.bootstrap import Application
from tests.builders import HOUR, Database, a_user, emotional_events
from tests.integration.test_consents import grant, ledger, withdraw


class TestLedger:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE consent_changes SET text_version = '2.0.0'",
            "UPDATE consent_changes SET changed_at = now()",
            "DELETE FROM consent_changes",
            "TRUNCATE consent_changes",
        ],
    )
    async def test_is_append_only_for_the_application(
        self,
        ecs: Application,
        owner: Any,
        plain: Any,
        user_id: UUID,
        client_id: UUID,
        statement: str,
    ) -> None:
        await grant(ecs, user_id, client_id)
        before = await ledger(owner)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await plain.execute(statement)
        assert await ledger(owner) == before

    async def test_keeps_the_proof_of_a_forgotten_person_under_one_pseudonym(
        self,
        ecs: Application,
        operator: Application,
        database: Database,
        owner: Any,
        user_id: UUID,
        client_id: UUID,
    ) -> None:
        neighbour = await a_user(database)
        for person in (neighbour, user_id):
            await grant(ecs, person, client_id)
            await emotional_events(database, person, client_id, [(HOUR, "happiness", 1.0, 1.0)])
        await withdraw(ecs, user_id)
        await grant(ecs, user_id, client_id)
        before = await ledger(owner)
        await operator.maintenance.forget_user(email=f"{user_id}@example.com")
        after = await ledger(owner)
        (pseudonym,) = {row["user_id"] for row in after} - {neighbour}
        assert pseudonym != user_id
        kept = ("id", "consent_id", "client_id", "revision", "text_sha256", "changed_at")
        assert {tuple(row[name] for name in kept) for row in before} == {
            tuple(row[name] for name in kept) for row in after
        }
        assert {row["request_id"] for row in after if row["user_id"] == pseudonym} == {None}
        events = await owner.fetch("SELECT user_id FROM emotional_events")
        assert [row["user_id"] for row in events] == [neighbour]
