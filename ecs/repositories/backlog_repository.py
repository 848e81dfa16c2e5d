"""Reads of what waits."""

from sqlalchemy.ext.asyncio import AsyncSession


class BacklogRepository:
    """What waits, counted."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
