"""Use cases of notifications: read them."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from ecs.domain.notifications import Notification
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import NotificationNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationsService:
    """What people are told, as they see it."""

    unit_of_work: Callable[[], UnitOfWork]

    async def list(self, *, user_id: UUID, limit: int, after: UUID | None) -> list[Notification]:
        """Return the person's notifications, newest first, those behind ``after``."""
        async with self.unit_of_work() as uow:
            return await uow.notifications.list(user_id, limit=limit, after=after)

    async def mark_read(self, *, user_id: UUID, notification_id: UUID) -> None:
        """Note that it was read. Safe to repeat; ``NotificationNotFound`` for anybody else's."""
        async with self.unit_of_work() as uow:
            if not await uow.notifications.mark_read(notification_id, user_id=user_id):
                raise NotificationNotFound
            await uow.commit()
