"""Reads and writes of notifications."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.money import Money
from ecs.domain.notifications import (
    Letter,
    Message,
    Notification,
    NotificationKind,
    OpenedAccount,
)

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
_FIND_LETTER: Final = text("""
SELECT n.id, n.kind, n.title, n.body, n.created_at, u.email, u.full_name, a.id AS account_id,
       a.credit_limit_minor, a.currency, a.credit_type, a.apr, a.opened_at
FROM notifications n
JOIN users u ON u.id = n.user_id AND u.disabled_at IS NULL
LEFT JOIN credit_accounts a ON a.offer_id = n.offer_id AND n.kind = 'account_opened'
WHERE n.id = :id
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

    async def find_letter(self, notification_id: UUID) -> Letter | None:
        """Return what to send by e-mail, or None when its reader is disabled or forgotten."""
        found = await self._session.execute(_FIND_LETTER, {"id": notification_id})
        row = found.one_or_none()
        return None if row is None else _letter(row)


def _notification(row: RowMapping) -> Notification:
    return Notification(**{**row, "kind": NotificationKind(row["kind"])})


def _letter(row: Row[Any]) -> Letter:
    return Letter(
        notification_id=row.id,
        kind=NotificationKind(row.kind),
        recipient=row.email,
        full_name=row.full_name,
        title=row.title,
        body=row.body,
        written_at=row.created_at,
        account=None if row.account_id is None else _opened_account(row),
    )


def _opened_account(row: Row[Any]) -> OpenedAccount:
    return OpenedAccount(
        credit_limit=Money(row.credit_limit_minor),
        currency=row.currency,
        credit_type=row.credit_type,
        apr=row.apr,
        opened_at=row.opened_at,
    )
