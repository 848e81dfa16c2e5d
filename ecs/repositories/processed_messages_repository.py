"""What consumers have already acted on."""

from collections.abc import Collection
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
# In the order of the ids: two consumers that are given the same batch wait, and do not deadlock.
_REMEMBER_MANY: Final = text("""
INSERT INTO processed_messages (consumer, message_id)
SELECT :consumer, id FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
ON CONFLICT DO NOTHING
RETURNING message_id
""")
_FIND_KNOWN: Final = text(
    "SELECT message_id FROM processed_messages"
    " WHERE consumer = :consumer AND message_id = ANY(CAST(:ids AS uuid[]))"
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

    async def remember_many(self, *, consumer: str, message_ids: Collection[UUID]) -> set[UUID]:
        """Note the messages as handled; return those that were not yet."""
        noted = await self._session.execute(
            _REMEMBER_MANY, {"consumer": consumer, "ids": list(message_ids)}
        )
        return set(noted.scalars())

    async def find_known(self, *, consumer: str, message_ids: Collection[UUID]) -> set[UUID]:
        """Return those of the messages that are noted as handled."""
        known = await self._session.execute(
            _FIND_KNOWN, {"consumer": consumer, "ids": list(message_ids)}
        )
        return set(known.scalars())

    async def forget(self, *, older_than: timedelta, limit: int) -> int:
        """Delete up to ``limit`` memories that no redelivery can ask for; return how many."""
        deleted = await self._session.execute(_CLEAN, {"age": older_than, "limit": limit})
        return rowcount(deleted)
