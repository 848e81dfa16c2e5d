"""Reads of what waits."""

from typing import Final

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.backlog import Waiting, What

# Each part by a partial index of what waits: its cost grows with that, not with what is done.
_WAITING: Final = text("""
SELECT 'outbox' AS what, destination, NULL AS kind, NULL AS status, count(*) AS count,
       now() - min(available_at) AS age
FROM outbox_events
WHERE published_at IS NULL AND parked_at IS NULL AND available_at <= now()
GROUP BY destination
UNION ALL
SELECT 'parked', destination, NULL, NULL, count(*), now() - min(parked_at)
FROM outbox_events WHERE parked_at IS NOT NULL AND published_at IS NULL
GROUP BY destination
UNION ALL
SELECT 'job', NULL, kind, status, count(*), now() - min(created_at)
FROM jobs WHERE status IN ('queued', 'running')
GROUP BY kind, status
UNION ALL
SELECT 'pending', NULL, NULL, status, count(*), now() - min(created_at)
FROM prequalification_applications WHERE status = 'PENDING'
GROUP BY status
UNION ALL
SELECT 'in_review', NULL, NULL, status, count(*), now() - min(created_at)
FROM prequalification_applications WHERE status = 'MANUAL_REVIEW'
GROUP BY status
UNION ALL
(
    SELECT 'unsealed', NULL, NULL, NULL, 1, now() - at
    FROM audit_log
    WHERE id > coalesce((SELECT last_id FROM audit_seals ORDER BY id DESC LIMIT 1), 0)
    ORDER BY id LIMIT 1
)
""")
_LABELS: Final = ("destination", "kind", "status")


class BacklogRepository:
    """What waits, counted."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_waiting(self) -> list[Waiting]:
        """Return all that waits, as it was at one moment; what does not wait is not named."""
        rows = await self._session.execute(_WAITING)
        return [_waiting(row) for row in rows.mappings()]


def _waiting(row: RowMapping) -> Waiting:
    return Waiting(
        what=What(row["what"]),
        labels={name: row[name] for name in _LABELS if row[name] is not None},
        count=row["count"],
        oldest_seconds=row["age"].total_seconds(),
    )
