"""Reads and writes of the audit: entries, and the seals over them."""

from sqlalchemy.ext.asyncio import AsyncSession


class AuditRepository:
    """The audit, as stored."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
