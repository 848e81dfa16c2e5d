"""Raw events are forgotten in time, and nobody can rewrite them before."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from ecs.bootstrap import Application
from ecs.services.emotions_service import REMOVAL_BATCH
from tests.builders import Database, emotional_events
from tests.integration.readings import a_pair
from tests.statements import COMMIT, statement_log

MONTH = timedelta(days=30)
MINUTE = timedelta(minutes=1)


async def aged(
    database: Database, pair: tuple[UUID, UUID], age: timedelta, number: int = 1
) -> list[UUID]:
    """Store events, the oldest last."""
    rows = [(age + place * MINUTE / 60, "fear", 0.5, -0.5) for place in range(number)]
    return await emotional_events(database, *pair, rows)


async def remaining(owner: Any) -> set[UUID]:
    return {row[0] for row in await owner.fetch("SELECT event_id FROM emotional_events")}


class TestRemoveExpired:
    async def test_removes_exactly_what_is_over_thirty_days_old(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        pairs = [await a_pair(database) for _ in range(2)]
        kept = {
            event_id
            for pair in pairs
            for age in (-4 * MINUTE, MINUTE, MONTH / 2, MONTH - MINUTE)
            for event_id in await aged(database, pair, age)
        }
        for pair in pairs:
            await aged(database, pair, MONTH)
            await aged(database, pair, MONTH + MINUTE, number=20)
        assert await ecs.emotions.remove_expired() == 42
        assert await remaining(owner) == kept
        assert await ecs.emotions.remove_expired() == 0
        assert await remaining(owner) == kept

    async def test_goes_in_small_transactions(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        pair = await a_pair(database)
        (kept,) = await aged(database, pair, MONTH / 2)
        await aged(database, pair, MONTH + MINUTE, number=REMOVAL_BATCH * 2 + 1)
        with statement_log() as told:
            assert await ecs.emotions.remove_expired() == REMOVAL_BATCH * 2 + 1
        assert [statement == COMMIT for statement in told] == [False, True] * 3
        assert await remaining(owner) == {kept}

    async def test_begins_with_the_oldest(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        expired = await aged(database, await a_pair(database), MONTH + MINUTE, number=9)
        async with ecs.emotions.unit_of_work() as uow:
            assert await uow.emotions.remove(older_than=MONTH, limit=4) == 4
            await uow.commit()
        assert await remaining(owner) == set(expired[:5])

    async def test_two_at_once_remove_everything_once(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        await aged(database, await a_pair(database), MONTH + MINUTE, number=REMOVAL_BATCH + 500)
        removed = await asyncio.gather(*(ecs.emotions.remove_expired() for _ in range(2)))
        removed.append(await ecs.emotions.remove_expired())
        assert sum(removed) == REMOVAL_BATCH + 500
        assert await remaining(owner) == set()


class TestRights:
    async def test_the_application_may_delete(
        self, database: Database, plain: Any, owner: Any
    ) -> None:
        await aged(database, await a_pair(database), MINUTE, number=2)
        await plain.execute("DELETE FROM emotional_events")
        assert await remaining(owner) == set()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE emotional_events SET valence = 1",
            "TRUNCATE emotional_events",
            "SELECT 1 FROM emotional_events FOR UPDATE",
        ],
    )
    async def test_the_application_may_not_rewrite(
        self, database: Database, plain: Any, statement: str
    ) -> None:
        await aged(database, await a_pair(database), MINUTE)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await plain.execute(statement)


class TestTheTable:
    """Tried by the owner, who may write anything: what remains is the constraint."""

    @pytest.mark.parametrize(
        ("assignment", "constraint"),
        [
            ("emotion_primary = 'joy'", "emotion_known"),
            ("emotion_primary = ''", "emotion_known"),
            ("emotion_confidence = 'NaN'", "confidence_range"),
            ("emotion_confidence = -0.001", "confidence_range"),
            ("emotion_confidence = 1.001", "confidence_range"),
            ("arousal = 'NaN'", "arousal_range"),
            ("arousal = 'Infinity'", "arousal_range"),
            ("arousal = -1.001", "arousal_range"),
            ("valence = 'NaN'", "valence_range"),
            ("valence = '-Infinity'", "valence_range"),
            ("valence = 1.001", "valence_range"),
            ("source = ''", "source"),
            ("source = repeat('a', 21)", "source"),
        ],
    )
    async def test_refuses(
        self, database: Database, owner: Any, assignment: str, constraint: str
    ) -> None:
        await aged(database, await a_pair(database), MINUTE)
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await owner.execute(f"UPDATE emotional_events SET {assignment}")
        assert refused.value.constraint_name == f"emotional_events_{constraint}"

    @pytest.mark.parametrize(
        ("column", "constraint"), [("user_id", "user_exists"), ("client_id", "client_exists")]
    )
    async def test_knows_nobody_that_is_not_there(
        self, database: Database, owner: Any, column: str, constraint: str
    ) -> None:
        await aged(database, await a_pair(database), MINUTE)
        with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
            await owner.execute(f"UPDATE emotional_events SET {column} = gen_random_uuid()")
        assert refused.value.constraint_name == f"emotional_events_{constraint}"

    async def test_finds_the_oldest_by_an_index(self, plain: Any) -> None:
        await plain.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        statement = (
            "EXPLAIN SELECT ctid FROM emotional_events WHERE captured_at < $1"
            " ORDER BY captured_at LIMIT 5000"
        )
        plan = "\n".join(row[0] for row in await plain.fetch(statement, datetime.now(UTC)))
        assert "emotional_events_by_age" in plan
        assert "Sort" not in plan
