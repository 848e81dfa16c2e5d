"""Reads of recorded decisions, with those of their facts that are still there."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.credit.replay import RecordedDecision
from ecs.repositories.histories import emotional_history, transaction_history

# Whoever was forgotten has no offers left: an assessment can be asked for by its own id, too.
_FIND: Final = text("""
SELECT r.id, r.request_id, r.record, r.transaction_ids, r.consent_ids, r.emotional_event_ids,
       r.emotional_client_ids, t.*, e.*
FROM risk_assessments r
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(id), '{}') AS ids,
           coalesce(array_agg(occurred_at), '{}') AS occurred_at,
           coalesce(array_agg(amount_minor), '{}') AS amounts_minor,
           coalesce(array_agg(category), '{}') AS categories
    FROM transactions WHERE id = ANY (r.transaction_ids)
) t
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(event_id), '{}') AS event_ids,
           coalesce(array_agg(client_id), '{}') AS event_client_ids,
           coalesce(array_agg(captured_at), '{}') AS captured_at,
           coalesce(array_agg(emotion_primary), '{}') AS emotions,
           coalesce(array_agg(emotion_confidence), '{}') AS confidences,
           coalesce(array_agg(valence), '{}') AS valences
    FROM unnest(r.emotional_event_ids, r.emotional_client_ids) AS key (event_id, client_id)
    JOIN emotional_events USING (event_id, client_id)
) e
WHERE r.id = coalesce((SELECT assessment_id FROM credit_offers WHERE id = :id), :id)
""")


class DecisionRecordsRepository:
    """The append-only record of decisions, as an auditor reads it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, decision_id: UUID) -> RecordedDecision | None:
        """Return the record of an offer or of an assessment, whoever it is about, or None."""
        row = (await self._session.execute(_FIND, {"id": decision_id})).one_or_none()
        return None if row is None else _recorded(row)


def _recorded(row: Row[Any]) -> RecordedDecision:
    return RecordedDecision(
        assessment_id=row.id,
        request_id=row.request_id,
        record=_whole(row),
        history=transaction_history(row),
        emotional_history=emotional_history(row),
    )


def _whole(row: Row[Any]) -> dict[str, Any]:
    """Return the record with the ids that have columns of their own back in their places."""
    record: dict[str, Any] = row.record
    emotion = record["emotion"]
    if emotion["inputs"] is not None:
        emotional = {
            "event_ids": [str(event_id) for event_id in row.emotional_event_ids],
            "client_ids": [str(client_id) for client_id in row.emotional_client_ids],
        }
        emotion = emotion | {"inputs": emotion["inputs"] | emotional}
    ids = {"transaction_ids": [str(transaction_id) for transaction_id in row.transaction_ids]}
    return record | {"inputs": record["inputs"] | ids, "emotion": emotion}
