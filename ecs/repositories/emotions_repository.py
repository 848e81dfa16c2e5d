"""Reads and writes of emotional events: a whole batch in one statement."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.consents import Purpose
from ecs.domain.emotions.events import IncomingEvent, Verdict
from ecs.domain.emotions.summary import MoodCount
from ecs.repositories.ingestion import ingest_seeing_everything
from ecs.repositories.results import rowcount

# Of equal ids in one batch the first permitted item wins; the others are held against it. Rows
# are written in the order of their keys, so that two batches cannot deadlock; people are held until
# the end, so that nobody is forgotten between the check and the row.
#
# PostgreSQL cannot know how many rows an array holds: it expects ten of ``unnest`` alone, a
# thousand of a series beside it, and next to none of a join of two such guesses, for which it then
# chooses nested loops. So nothing that comes from the arrays is joined: other rows of the batch are
# asked by ``IN`` (one hash) or a window, the table by its key, only for what was not written now.
_INGEST: Final = text("""
WITH incoming AS (
    SELECT * FROM ROWS FROM (
        generate_series(1, cardinality(CAST(:indexes AS int[]))),
        unnest(
            CAST(:indexes AS int[]), CAST(:client_ids AS uuid[]), CAST(:event_ids AS uuid[]),
            CAST(:user_ids AS uuid[]), CAST(:captured_at AS timestamptz[]),
            CAST(:emotions AS text[]), CAST(:confidences AS float8[]), CAST(:arousals AS float8[]),
            CAST(:valences AS float8[]), CAST(:sources AS text[])
        )
    ) AS t (number, place, client_id, event_id, user_id, captured_at, emotion_primary,
            emotion_confidence, arousal, valence, source)
), pair AS (
    SELECT asked.client_id, asked.user_id,
           (SELECT max(c.revision) FROM consent_changes c
            WHERE c.user_id = asked.user_id AND c.purpose = :purpose
              AND c.client_id = asked.client_id) % 2 = 1 AS is_permitted
    FROM (SELECT DISTINCT client_id, user_id FROM incoming) AS asked
    JOIN users ON users.id = asked.user_id
    FOR KEY SHARE OF users
), judged AS (
    SELECT incoming.*,
           user_id IN (SELECT user_id FROM pair) AS is_known,
           (client_id, user_id) IN (SELECT client_id, user_id FROM pair WHERE is_permitted)
               AS is_permitted,
           (user_id, captured_at, emotion_primary, emotion_confidence, arousal, valence, source)
               AS content
    FROM incoming
), held AS (
    SELECT judged.*, is_permitted AND row_number() OVER same = 1 AS is_winner,
           content = first_value(content) OVER same AS is_like_winner
    FROM judged
    WINDOW same AS (PARTITION BY client_id, event_id, is_permitted ORDER BY place)
), written AS (
    INSERT INTO emotional_events (client_id, event_id, user_id, captured_at, emotion_primary,
                                  emotion_confidence, arousal, valence, source)
    SELECT client_id, event_id, user_id, captured_at, emotion_primary, emotion_confidence,
           arousal, valence, source
    FROM held WHERE is_winner ORDER BY client_id, event_id
    ON CONFLICT (client_id, event_id) DO NOTHING
    RETURNING client_id, event_id
), fresh AS MATERIALIZED (
    SELECT held.*, (client_id, event_id) IN (SELECT client_id, event_id FROM written) AS is_new
    FROM held
)
SELECT fresh.place, fresh.is_known, fresh.is_permitted,
       fresh.is_new AND fresh.is_winner AS is_written,
       fresh.is_new OR stored.content IS NOT NULL AS is_seen,
       fresh.is_new AND fresh.is_like_winner OR fresh.content = stored.content AS is_equal
FROM fresh
LEFT JOIN LATERAL (
    SELECT (e.user_id, e.captured_at, e.emotion_primary, e.emotion_confidence, e.arousal,
            e.valence, e.source) AS content
    FROM emotional_events AS e
    WHERE NOT fresh.is_new AND e.client_id = fresh.client_id AND e.event_id = fresh.event_id
    LIMIT 1
) AS stored ON true
""")
_COUNT_BY_DAY: Final = text("""
SELECT captured_at::date AS day, emotion_primary AS emotion, count(*) AS count,
       sum(valence) AS valence_sum, sum(arousal) AS arousal_sum
FROM emotional_events
WHERE user_id = :user_id AND captured_at >= CAST(:first AS date)
  AND captured_at < CAST(:last AS date) + 1
GROUP BY 1, 2
""")
# By physical place: rows are never updated, so a row stays where it is until it is deleted.
_REMOVE: Final = text("""
DELETE FROM emotional_events WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM emotional_events WHERE captured_at < now() - CAST(:age AS interval)
    ORDER BY captured_at LIMIT :limit))
""")


class EmotionsRepository:
    """Readings of mood, as stored."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def ingest(self, items: Sequence[IncomingEvent]) -> dict[int, Verdict]:
        """Store what is new and permitted in one round trip; return a verdict for each index."""
        return await ingest_seeing_everything(
            self._ingest_once, items, otherwise=Verdict.ID_CONFLICT
        )

    async def count_by_day(self, user_id: UUID, *, first: date, last: date) -> list[MoodCount]:
        """Return how often each emotion was read of this person, on the UTC days asked for."""
        rows = await self._session.execute(
            _COUNT_BY_DAY, {"user_id": user_id, "first": first, "last": last}
        )
        return [MoodCount(**row) for row in rows.mappings()]

    async def remove(self, *, older_than: timedelta, limit: int) -> int:
        """Delete up to ``limit`` of the oldest events; return how many."""
        deleted = await self._session.execute(_REMOVE, {"age": older_than, "limit": limit})
        return rowcount(deleted)

    async def _ingest_once(self, items: Sequence[IncomingEvent]) -> dict[int, Verdict | None]:
        rows = await self._session.execute(
            _INGEST,
            {
                "purpose": Purpose.EMOTION_CREDIT_DECISION,
                "indexes": [item.index for item in items],
                "client_ids": [item.client_id for item in items],
                "event_ids": [item.event_id for item in items],
                "user_ids": [item.user_id for item in items],
                "captured_at": [item.captured_at for item in items],
                "emotions": [item.emotion for item in items],
                "confidences": [item.confidence for item in items],
                "arousals": [item.arousal for item in items],
                "valences": [item.valence for item in items],
                "sources": [item.source for item in items],
            },
        )
        return {row.place: _verdict(row) for row in rows}


def _verdict(row: Row[Any]) -> Verdict | None:
    """Return what became of an item; None when another transaction stored it unseen."""
    if not row.is_known:
        return Verdict.UNKNOWN_USER
    if not row.is_permitted:
        return Verdict.CONSENT_MISSING
    if row.is_written:
        return Verdict.ACCEPTED
    if not row.is_seen:
        return None
    return Verdict.DUPLICATE if row.is_equal else Verdict.ID_CONFLICT
