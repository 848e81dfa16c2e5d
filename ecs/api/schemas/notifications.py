"""JSON shapes of notifications."""

from uuid import UUID

from ecs.api.schemas.common import Answer
from ecs.domain.notifications import Notification, NotificationKind
from ecs.wire.forms import Instant


class NotificationOut(Answer):
    """One message to one person."""

    id: UUID
    kind: NotificationKind
    title: str
    body: str
    created_at: Instant
    read_at: Instant | None

    @classmethod
    def of(cls, notification: Notification) -> "NotificationOut":
        """Return the shape of ``notification``."""
        return cls(
            id=notification.id,
            kind=notification.kind,
            title=notification.title,
            body=notification.body,
            created_at=notification.created_at,
            read_at=notification.read_at,
        )
