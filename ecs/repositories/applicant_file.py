"""What an application is decided from, read in one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.consents import Purpose
from ecs.domain.credit.emotional_history import EmotionalFacts
from ecs.domain.credit.history import TransactionHistory
from ecs.domain.period import Window
from ecs.repositories.histories import emotional_history, transaction_history

# One statement, one row: each window comes back as columns.
_MONEY: Final = """
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(t.id), '{}') AS ids,
           coalesce(array_agg(t.occurred_at), '{}') AS occurred_at,
           coalesce(array_agg(t.amount_minor), '{}') AS amounts_minor,
           coalesce(array_agg(t.category), '{}') AS categories
    FROM (
        SELECT id, occurred_at, amount_minor, category FROM transactions
        WHERE user_id = u.id AND currency = :currency
          AND occurred_at >= now() - make_interval(hours => 24 * :days) AND occurred_at < now()
        ORDER BY occurred_at DESC, id DESC LIMIT :limit
    ) t
) w
"""
# A consent stands where the newest change is a grant: its revision is odd, its id the consent's.
_MOOD: Final = """
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(s.id ORDER BY s.id), '{}') AS consent_ids,
           coalesce(array_agg(s.client_id), '{}') AS client_ids
    FROM (
        SELECT DISTINCT ON (client_id) client_id, id, revision FROM consent_changes
        WHERE user_id = u.id AND purpose = :purpose
        ORDER BY client_id, revision DESC
    ) s
    WHERE s.revision % 2 = 1
) c
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(e.event_id), '{}') AS event_ids,
           coalesce(array_agg(e.client_id), '{}') AS event_client_ids,
           coalesce(array_agg(e.captured_at), '{}') AS captured_at,
           coalesce(array_agg(e.emotion_primary), '{}') AS emotions,
           coalesce(array_agg(e.emotion_confidence), '{}') AS confidences,
           coalesce(array_agg(e.valence), '{}') AS valences
    FROM (
        SELECT event_id, client_id, captured_at, emotion_primary, emotion_confidence, valence
        FROM emotional_events
        WHERE cardinality(c.client_ids) > 0  -- Else a long stream would be read for nothing.
          AND user_id = u.id AND client_id = ANY (c.client_ids) AND emotion_confidence > 0
          AND captured_at >= now() - make_interval(hours => 24 * :mood_days)
          AND captured_at < now()
        ORDER BY captured_at DESC, event_id DESC, client_id DESC LIMIT :mood_limit
    ) e
) m
"""
_PERSON: Final = "WHERE u.id = :user_id"
_FILE: Final = text(
    f"SELECT now() AS now, u.created_at, w.* FROM users u {_MONEY} {_PERSON}"  # noqa: S608  (constants)
)
_FILE_WITH_MOOD: Final = text(
    "SELECT now() AS now, u.created_at, w.*, c.*, m.*"  # noqa: S608  (constants)
    f" FROM users u {_MONEY} {_MOOD} {_PERSON}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicantFile:
    """
    What a decision is made from, at the instant ``now`` of the database's clock.

    ``emotion`` is None when nobody asked for it.
    """

    now: datetime
    user_created_at: datetime
    history: TransactionHistory
    emotion: EmotionalFacts | None


async def read_applicant_file(
    session: AsyncSession, user_id: UUID, *, currency: str, money: Window, mood: Window | None
) -> ApplicantFile:
    """Return the newest rows of each window; see ``CreditRepository.get_applicant_file``."""
    values = {"user_id": user_id, "currency": currency}
    values |= {"days": money.days, "limit": money.rows_max}
    if mood is None:
        row = (await session.execute(_FILE, values)).one()
    else:
        values |= {"mood_days": mood.days, "mood_limit": mood.rows_max}
        values |= {"purpose": str(Purpose.EMOTION_CREDIT_DECISION)}
        row = (await session.execute(_FILE_WITH_MOOD, values)).one()
    return ApplicantFile(
        now=row.now,
        user_created_at=row.created_at,
        history=transaction_history(row),
        emotion=_emotional_facts(row, days=mood.days) if mood else None,
    )


def _emotional_facts(row: Row[Any], *, days: int) -> EmotionalFacts:
    return EmotionalFacts(
        consent_ids=tuple(row.consent_ids), history=emotional_history(row), window_days=days
    )
