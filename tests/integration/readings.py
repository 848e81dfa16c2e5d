"""Readings of mood for the tests: made, ingested, and looked at behind everybody's back."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from ecs.bootstrap import Application
from ecs.domain.emotions.events import IncomingEvent, Verdict
from tests.builders import EVENT_COLUMNS, Database, a_client, a_consent, a_user

Stored = Counter[tuple[Any, ...]]

COLUMNS: Final = ", ".join(EVENT_COLUMNS)


async def a_pair(database: Database) -> tuple[UUID, UUID]:
    """A person, and a client that this person consented to."""
    user_id, client_id = await a_user(database), await a_client(database)
    await a_consent(database, user_id, client_id)
    return user_id, client_id


def an_event(user_id: UUID, client_id: UUID, **changes: Any) -> IncomingEvent:
    plain = IncomingEvent(
        index=0,
        client_id=client_id,
        event_id=uuid4(),
        user_id=user_id,
        captured_at=datetime.now(UTC) - timedelta(hours=1),
        emotion="happiness",
        confidence=0.9,
        arousal=0.25,
        valence=0.5,
        source="wearable",
    )
    return replace(plain, **changes)


def numbered(items: Iterable[IncomingEvent]) -> list[IncomingEvent]:
    return [replace(item, index=index) for index, item in enumerate(items)]


async def ingest(ecs: Application, *items: IncomingEvent) -> list[Verdict]:
    verdicts = await ecs.emotions.ingest(numbered(items))
    assert sorted(verdicts) == list(range(len(items)))
    return [verdicts[index] for index in range(len(items))]


async def ingest_unvouched(ecs: Application, *items: IncomingEvent) -> list[Verdict]:
    verdicts = await ecs.emotions.ingest_unvouched(numbered(items))
    return [verdicts[index] for index in range(len(items))]


def row_of(item: IncomingEvent) -> tuple[Any, ...]:
    return (
        item.client_id,
        item.event_id,
        item.user_id,
        item.captured_at,
        item.emotion,
        item.confidence,
        item.arousal,
        item.valence,
        item.source,
    )


async def stored(owner: Any) -> Stored:
    rows = await owner.fetch(f"SELECT {COLUMNS} FROM emotional_events")
    return Counter(tuple(row) for row in rows)
