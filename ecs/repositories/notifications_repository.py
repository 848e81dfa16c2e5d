"""Reads and writes of notifications."""

from typing import Final
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.notifications import Message, Notification, NotificationKind

_ADD: Final = text("""
INSERT INTO notifications (id, user_id, job_id, offer_id, kind, title, body)
VALUES (:id, :user_id, :job_id, :offer_id, :kind, :title, :body)
""")
_LIST: Final = text("""
SELECT id, kind, title, body, created_at, read_at FROM notifications
WHERE user_id = :user_id AND (CAST(:after AS uuid) IS NULL OR id < :after)
ORDER BY id DESC LIMIT :limit
""")
_MARK_READ: Final = text("""
UPDATE notifications SET read_at = coalesce(read_at, now())
WHERE id = :id AND user_id = :user_id RETURNING id
""")


class NotificationsRepository:
    """What people are told, as stored."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(
        self,
        notification_id: UUID,
        message: Message,
        *,
        user_id: UUID,
        job_id: UUID,
        offer_id: UUID,
    ) -> None:
        """Write ``message`` to somebody, once for each kind and job."""
        await self._session.execute(
            _ADD,
            {
                "id": notification_id,
                "user_id": user_id,
                "job_id": job_id,
                "offer_id": offer_id,
                "kind": str(message.kind),
                "title": message.title,
                "body": message.body,
            },
        )

    async def list(self, user_id: UUID, *, limit: int, after: UUID | None) -> list[Notification]:
        """Return this person's notifications, newest first, those behind ``after``."""
        rows = await self._session.execute(
            _LIST, {"user_id": user_id, "limit": limit, "after": after}
        )
        return [_notification(row) for row in rows.mappings()]

    async def mark_read(self, notification_id: UUID, *, user_id: UUID) -> bool:
        """Note the first reading; return whether this person has such a notification."""
        marked = await self._session.execute(
            _MARK_READ, {"id": notification_id, "user_id": user_id}
        )
        return marked.scalar_one_or_none() is not None


def _notification(row: RowMapping) -> Notification:
    return Notification(**{**row, "kind": NotificationKind(row["kind"])})
