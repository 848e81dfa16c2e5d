"""What only the owner of the database may do."""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from ecs.repositories import tables  # noqa: F401  (registers every table)

# The person is held first, so that nothing new of theirs is written meanwhile; then in the order of
# the foreign keys. The records of decisions and of consents stay, under a name nobody knows.
_FORGET: Final = (
    "SELECT id FROM users WHERE id = :user_id FOR UPDATE",
    # So are their applications: a bureau's answer or a decision may be on its way to them.
    "SELECT id FROM prequalification_applications WHERE user_id = :user_id ORDER BY id FOR UPDATE",
    "UPDATE risk_assessments SET user_id = :pseudonym, request_id = NULL WHERE user_id = :user_id",
    "UPDATE consent_changes SET user_id = :pseudonym, request_id = NULL WHERE user_id = :user_id",
    "DELETE FROM emotional_events WHERE user_id = :user_id",
    """DELETE FROM outbox_events WHERE destination = 'amqp:ecs.domain'
       AND payload->>'user_id' = CAST(CAST(:user_id AS uuid) AS text)""",
    """DELETE FROM credit_reports WHERE application_id IN
       (SELECT id FROM prequalification_applications WHERE user_id = :user_id)""",
    """DELETE FROM prequalification_status_changes WHERE application_id IN
       (SELECT id FROM prequalification_applications WHERE user_id = :user_id)""",
    "DELETE FROM prequalification_applications WHERE user_id = :user_id",
    "DELETE FROM notifications WHERE user_id = :user_id",
    "DELETE FROM credit_accounts WHERE user_id = :user_id",
    "DELETE FROM credit_offers WHERE user_id = :user_id",
    # Jobs before their events, as everybody else locks them.
    "SELECT id FROM jobs WHERE user_id = :user_id ORDER BY id FOR UPDATE",
    "DELETE FROM outbox_events WHERE id IN (SELECT id FROM jobs WHERE user_id = :user_id)",
    "DELETE FROM jobs WHERE user_id = :user_id",
    "DELETE FROM transactions WHERE user_id = :user_id",
    "DELETE FROM users WHERE id = :user_id",
)
_OWES: Final = text("""
SELECT EXISTS (SELECT FROM credit_accounts WHERE user_id = :user_id AND status = 'active')
    OR EXISTS (SELECT FROM credit_offers WHERE user_id = :user_id AND status = 'accepting')
""")


class MaintenanceRepository:
    """Rough work on whole tables."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def remove_everything(self) -> list[str]:
        """Empty every table and return their names; the schema stays."""
        names = sorted(SQLModel.metadata.tables)
        await self._session.execute(text(f"TRUNCATE {', '.join(names)}"))
        return names

    async def has_running_credit(self, user_id: UUID) -> bool:
        """Return whether an account is open, or about to be."""
        return bool((await self._session.execute(_OWES, {"user_id": user_id})).scalar_one())

    async def forget_user(self, user_id: UUID, *, pseudonym: UUID) -> None:
        """Delete a person and all that is theirs; keep the proofs, pseudonymised."""
        values = {"user_id": user_id, "pseudonym": pseudonym}
        for statement in _FORGET:
            wanted = {name: value for name, value in values.items() if f":{name}" in statement}
            await self._session.execute(text(statement), wanted)
