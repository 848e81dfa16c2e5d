"""What consumers have already acted on."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.repositories.results import rowcount

_REMEMBER: Final = text(
    "INSERT INTO processed_messages (consumer, message_id) VALUES (:consumer, :message_id)"
    " ON CONFLICT DO NOTHING"
)
_CLEAN: Final = text("""
DELETE FROM processed_messages WHERE (consumer, message_id) IN (
    SELECT consumer, message_id FROM processed_messages
    WHERE processed_at < now() - CAST(:age AS interval) LIMIT :limit)
""")


class ProcessedMessagesRepository:
    """The memory of the consumers, written in the transaction of their effects."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def remember(self, *, consumer: str, message_id: UUID) -> bool:
        """Note the message as handled; return False if it already was."""
        noted = await self._session.execute(
            _REMEMBER, {"consumer": consumer, "message_id": message_id}
        )
        return rowcount(noted) == 1

    async def forget(self, *, older_than: timedelta, limit: int) -> int:
        """Delete up to ``limit`` memories that no redelivery can ask for; return how many."""
        deleted = await self._session.execute(_CLEAN, {"age": older_than, "limit": limit})
        return rowcount(deleted)
