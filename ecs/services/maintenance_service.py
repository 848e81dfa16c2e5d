"""Use cases of the owner of the database: for operators and developers, never over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass

from ecs.repositories.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceService:
    """Rough work, done with the owner's rights."""

    unit_of_work: Callable[[], UnitOfWork]

    async def remove_everything(self) -> list[str]:
        """Empty every table; return their names. The application's own role cannot."""
        async with self.unit_of_work() as uow:
            names = await uow.maintenance.remove_everything()
            await uow.commit()
        return names
