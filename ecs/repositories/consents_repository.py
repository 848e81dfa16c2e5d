"""Reads and writes of the ledger of consents: rows are only ever added."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.consents import Consent, ConsentText, Purpose

# The person is held until the end, so that nobody is forgotten between the check and the row.
# The ledger's instants never run backwards, though a transaction that waited began earlier.
_GRANT: Final = text("""
INSERT INTO consent_changes
    (id, consent_id, user_id, client_id, purpose, revision, locale, text_version, text_sha256,
     changed_at, request_id)
SELECT :id, :id, users.id, clients.id, :purpose, newest.revision + 1, :locale, :text_version,
       :text_sha256, greatest(now(), newest.changed_at), CAST(:request_id AS text)
FROM users
JOIN clients ON clients.id = :client_id AND clients.disabled_at IS NULL
CROSS JOIN LATERAL (
    SELECT coalesce(max(revision), 0) AS revision, max(changed_at) AS changed_at
    FROM consent_changes
    WHERE user_id = users.id AND purpose = :purpose AND client_id = clients.id
) AS newest
WHERE users.id = :user_id AND newest.revision % 2 = 0
FOR KEY SHARE OF users
ON CONFLICT ON CONSTRAINT consent_changes_one_after_the_other DO NOTHING
RETURNING id, purpose, client_id, locale, text_version, text_sha256, changed_at AS granted_at,
          NULL AS withdrawn_at
""")
# Two withdrawals of everything lock in the same order.
_WITHDRAW: Final = text("""
INSERT INTO consent_changes
    (id, consent_id, user_id, client_id, purpose, revision, changed_at, request_id)
SELECT given.id, granted.id, granted.user_id, granted.client_id, granted.purpose,
       granted.revision + 1, greatest(now(), granted.changed_at), CAST(:request_id AS text)
FROM unnest(CAST(:ids AS uuid[]), CAST(:consent_ids AS uuid[])) AS given (id, consent_id)
JOIN consent_changes AS granted ON granted.id = given.consent_id
ORDER BY granted.client_id, granted.revision
ON CONFLICT ON CONSTRAINT consent_changes_one_after_the_other DO NOTHING
RETURNING id
""")
_CONSENTS: Final = """
SELECT granted.id, granted.purpose, granted.client_id, granted.locale, granted.text_version,
       granted.text_sha256, granted.changed_at AS granted_at, withdrawn.changed_at AS withdrawn_at
FROM consent_changes AS granted
LEFT JOIN consent_changes AS withdrawn
       ON withdrawn.user_id = granted.user_id AND withdrawn.purpose = granted.purpose
      AND withdrawn.client_id = granted.client_id AND withdrawn.revision = granted.revision + 1
WHERE granted.user_id = :user_id AND granted.revision % 2 = 1
"""
# What stands comes first: however long the history is, a limit cannot hide it.
_NEWEST_FIRST: Final = (
    " ORDER BY withdrawn.id IS NULL DESC, granted.changed_at DESC, granted.id DESC"
)
_LIST: Final = text(f"{_CONSENTS} {_NEWEST_FIRST} LIMIT :limit")
_LIST_ACTIVE: Final = text(
    f"{_CONSENTS} AND withdrawn.id IS NULL"
    " AND (CAST(:purpose AS text) IS NULL OR granted.purpose = :purpose)"
    f" AND (CAST(:client_id AS uuid) IS NULL OR granted.client_id = :client_id) {_NEWEST_FIRST}"
)
_CLIENT_IS_ENABLED: Final = text(
    "SELECT EXISTS (SELECT FROM clients WHERE id = :client_id AND disabled_at IS NULL)"
)


class ConsentsRepository:
    """Who allowed what to whom, and since when."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def grant(
        self,
        consent_id: UUID,
        words: ConsentText,
        *,
        user_id: UUID,
        client_id: UUID,
        request_id: str | None,
    ) -> Consent | None:
        """
        Write down that the person agreed to ``words``, and return it.

        None when a consent stands already, when somebody else changed it at this moment, or when
        there is no such person or no enabled client of this id.
        """
        written = await self._session.execute(
            _GRANT,
            {
                "id": consent_id,
                "user_id": user_id,
                "client_id": client_id,
                "purpose": words.purpose.value,
                "locale": words.locale,
                "text_version": words.version,
                "text_sha256": words.sha256,
                "request_id": request_id,
            },
        )
        row = written.mappings().one_or_none()
        return None if row is None else _consent(row)

    async def withdraw(
        self, consent_ids: Sequence[UUID], *, ids: Sequence[UUID], request_id: str | None
    ) -> int:
        """
        End these consents; return how many still stood.

        ``ids`` are the ids of the rows to add, one a consent.
        """
        written = await self._session.execute(
            _WITHDRAW,
            {"consent_ids": list(consent_ids), "ids": list(ids), "request_id": request_id},
        )
        return len(written.all())

    async def find_standing(
        self, *, user_id: UUID, purpose: Purpose, client_id: UUID
    ) -> Consent | None:
        """Return the consent that stands between the two, or None."""
        standing = await self.list_active(user_id, purpose=purpose, client_id=client_id)
        return standing[0] if standing else None

    async def list_consents(self, user_id: UUID, *, limit: int) -> list[Consent]:
        """Return up to ``limit`` consents ever given: those that stand first, then the newest."""
        rows = await self._session.execute(_LIST, {"user_id": user_id, "limit": limit})
        return [_consent(row) for row in rows.mappings()]

    async def list_active(
        self, user_id: UUID, *, purpose: Purpose | None = None, client_id: UUID | None = None
    ) -> list[Consent]:
        """Return the consents that stand, newest first; of one purpose or client if asked."""
        rows = await self._session.execute(
            _LIST_ACTIVE,
            {
                "user_id": user_id,
                "purpose": None if purpose is None else purpose.value,
                "client_id": client_id,
            },
        )
        return [_consent(row) for row in rows.mappings()]

    async def is_client_enabled(self, client_id: UUID) -> bool:
        """Return whether there is such a client program, and it may work."""
        found = await self._session.execute(_CLIENT_IS_ENABLED, {"client_id": client_id})
        return bool(found.scalar_one())


def _consent(row: RowMapping) -> Consent:
    return Consent(**{**row, "purpose": Purpose(row["purpose"])})
