"""Notifications over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from ecs.api.access import UserWith
from ecs.api.deps import Notifications
from ecs.api.routing import EcsRoute
from ecs.api.schemas.common import EmptyBody, Page, Paging, page
from ecs.api.schemas.notifications import NotificationOut
from ecs.wire.forms import StrictUuid

router = APIRouter(prefix="/api/v1/notifications", tags=["notifications"], route_class=EcsRoute)


@router.get("")
async def list_notifications(
    user_id: Annotated[UUID, UserWith("notifications:read")],
    notifications: Notifications,
    paging: Paging,
) -> Page[NotificationOut]:
    """List the caller's notifications, newest first."""
    found = await notifications.list(user_id=user_id, limit=paging.limit + 1, after=paging.after)
    return Page[NotificationOut](**page(found, limit=paging.limit, show=NotificationOut.of))


@router.post("/{notification_id}/read", status_code=204)
async def mark_read(
    notification_id: StrictUuid,
    user_id: Annotated[UUID, UserWith("notifications:read")],
    notifications: Notifications,
    body: EmptyBody | None = None,
) -> None:
    """Note that a notification was read; may be repeated."""
    await notifications.mark_read(user_id=user_id, notification_id=notification_id)
