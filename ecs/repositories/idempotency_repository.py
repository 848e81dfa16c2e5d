"""Reads and writes of requests that must have one effect."""

from sqlalchemy.ext.asyncio import AsyncSession


class IdempotencyRepository:
    """Requests under an ``Idempotency-Key``, and their results."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
