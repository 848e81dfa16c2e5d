"""Reads and writes of whole batches of applications, on their way to a decision."""

from sqlalchemy.ext.asyncio import AsyncSession


class PrequalificationPipelineRepository:
    """Applications in the hands of the bureau and of the decision."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
