"""Use cases of the owner of the database: for operators and developers, never over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from ecs.domain.email_address import canonical_email
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import AccountExists, UserNotFound
from ecs.services.ports import NewId

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceService:
    """Rough work, done with the owner's rights."""

    unit_of_work: Callable[[], UnitOfWork]
    new_id: NewId

    async def remove_everything(self) -> list[str]:
        """Empty every table; return their names. The application's own role cannot."""
        async with self.unit_of_work() as uow:
            names = await uow.maintenance.remove_everything()
            await uow.commit()
        return names

    async def forget_user(self, *, email: str) -> UUID:
        """
        Delete the person behind ``email``; the record of decisions stays, pseudonymised.

        What is returned is the id that was theirs: queues may still hold it.

        Raises:
            UserNotFound: nobody has this address.
            AccountExists: credit is running; the account has to be closed first.
        """
        async with self.unit_of_work() as uow:
            credential = await uow.auth.find_credential(canonical_email(email) or "")
            if credential is None:
                raise UserNotFound
            await uow.credit.lock_applicant(credential.user_id)
            if await uow.maintenance.has_running_credit(credential.user_id):
                raise AccountExists
            await uow.maintenance.forget_user(credential.user_id, pseudonym=self.new_id())
            await uow.commit()
        log.info("maintenance.user-forgotten", user_id=str(credential.user_id))
        return credential.user_id
