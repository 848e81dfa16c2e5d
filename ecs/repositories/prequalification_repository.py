"""Reads and writes of applications for prequalification."""

from sqlalchemy.ext.asyncio import AsyncSession


class PrequalificationRepository:
    """Applications, as stored."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
