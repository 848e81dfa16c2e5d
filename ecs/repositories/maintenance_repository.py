"""What only the owner of the database may do."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from ecs.repositories import tables  # noqa: F401  (registers every table)


class MaintenanceRepository:
    """Rough work on whole tables."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def remove_everything(self) -> list[str]:
        """Empty every table and return their names; the schema stays."""
        names = sorted(SQLModel.metadata.tables)
        await self._session.execute(text(f"TRUNCATE {', '.join(names)}"))
        return names
