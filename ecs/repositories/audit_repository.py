"""Reads and writes of the audit: entries, and the seals over them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.audit import START, AuditEntry, AuditRow, Candidate, Link, Seal

FIRST_BIGINT: Final = -(2**63)

_ADD: Final = text("""
INSERT INTO audit_log (actor, service, action, application_id, request_id)
SELECT * FROM unnest(
    CAST(:actors AS text[]), CAST(:services AS text[]), CAST(:actions AS text[]),
    CAST(:application_ids AS uuid[]), CAST(:request_ids AS text[]))
""")
_NEWEST_ID: Final = text("""
SELECT max(id) FROM audit_log
HAVING max(id) > coalesce((SELECT last_id FROM audit_seals ORDER BY id DESC LIMIT 1), 0)
""")
# An INSERT takes this lock before it takes an id, and keeps it to the end of its transaction.
_WRITERS: Final = text("""
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
  AND relation = CAST('audit_log' AS regclass)
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
_TRY_TO_SEAL: Final = text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended('ecs.audit_seals', 0))"
)
_LAST_LINK: Final = text("SELECT id, last_id, hash FROM audit_seals ORDER BY id DESC LIMIT 1")
_NOW: Final = text("SELECT now()")
_ROWS: Final = text("""
SELECT id, at, actor, service, action, application_id, request_id FROM audit_log
WHERE id > :after AND id <= :last_id ORDER BY id LIMIT :limit
""")
_ADD_SEAL: Final = text("""
INSERT INTO audit_seals
    (id, first_id, last_id, row_ids, row_digests, previous_hash, hash, sealed_at)
VALUES (:id, :first_id, :last_id, CAST(:row_ids AS bigint[]), CAST(:row_digests AS bytea[]),
        :previous_hash, :hash, :sealed_at)
""")
_NEXT_SEAL: Final = text("""
SELECT id, first_id, last_id, row_ids, row_digests, previous_hash, hash, sealed_at
FROM audit_seals WHERE id > :after ORDER BY id LIMIT 1
""")
_COUNT_SEALS: Final = text("SELECT count(*) FROM audit_seals")
_WAITING: Final = text("""
SELECT count(*) AS rows, coalesce(extract(epoch FROM now() - min(at)), 0) AS seconds
FROM audit_log WHERE id > :after
""")
# All that are missing first, then the smallest: asked for the smallest at once, PostgreSQL would
# compare each application with the whole log.
_UNSEEN_ENCRYPTION: Final = text("""
WITH unseen AS MATERIALIZED (
    SELECT a.id FROM prequalification_applications a
    WHERE NOT EXISTS (
        SELECT FROM audit_log l WHERE l.application_id = a.id AND l.action = 'ENCRYPT')
)
SELECT id FROM unseen ORDER BY id LIMIT 1
""")
_UNSEEN_DECRYPTION: Final = text("""
WITH unseen AS MATERIALIZED (
    SELECT r.application_id AS id FROM credit_reports r
    WHERE NOT EXISTS (
        SELECT FROM audit_log l
        WHERE l.application_id = r.application_id AND l.action = 'DECRYPT'
          AND l.at <= r.reported_at)
)
SELECT id FROM unseen ORDER BY id LIMIT 1
""")


class AuditRepository:
    """The audit, as stored."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Note each access, in this order."""
        if not entries:
            return
        await self._session.execute(
            _ADD,
            {
                "actors": [entry.actor for entry in entries],
                "services": [entry.service for entry in entries],
                "actions": [entry.action.value for entry in entries],
                "application_ids": [entry.application_id for entry in entries],
                "request_ids": [entry.request_id for entry in entries],
            },
        )

    async def find_candidate(self) -> Candidate | None:
        """Return the unsealed rows there are, and who may still add an earlier one; None: none."""
        # In this order: whoever comes after the first statement takes a later id.
        last_id = (await self._session.execute(_NEWEST_ID)).scalar_one_or_none()
        if last_id is None:
            return None
        return Candidate(last_id=last_id, writers=await self.list_writers())

    async def list_writers(self) -> frozenset[str]:
        """Return the transactions that have written, or are about to."""
        return frozenset((await self._session.execute(_WRITERS)).scalars())

    async def try_to_seal(self) -> bool:
        """Return whether nobody else is sealing; then nobody will until the end of this."""
        return bool((await self._session.execute(_TRY_TO_SEAL)).scalar_one())

    async def last_link(self) -> Link:
        """Return what the next seal continues."""
        row = (await self._session.execute(_LAST_LINK)).mappings().one_or_none()
        return START if row is None else Link(**row)

    async def now(self) -> datetime:
        """Return the instant at which this transaction began."""
        moment: datetime = (await self._session.execute(_NOW)).scalar_one()
        return moment

    async def list_rows(self, previous: Link, *, last_id: int, limit: int) -> list[AuditRow]:
        """Return up to ``limit`` rows behind ``previous``, up to ``last_id``, by their ids."""
        values = {"after": previous.last_id, "last_id": last_id, "limit": limit}
        rows = await self._session.execute(_ROWS, values)
        return [AuditRow(**row) for row in rows.mappings()]

    async def list_rows_under(self, previous: Link, seal: Seal) -> list[AuditRow]:
        """Return what is stored where ``seal`` is, at most one row more than it names."""
        # Nothing may stand before the first seal either.
        after = FIRST_BIGINT if previous == START else previous.last_id
        values = {"after": after, "last_id": seal.last_id, "limit": len(seal.row_ids) + 1}
        rows = await self._session.execute(_ROWS, values)
        return [AuditRow(**row) for row in rows.mappings()]

    async def add_seal(self, seal: Seal) -> None:
        """Store a seal."""
        await self._session.execute(
            _ADD_SEAL,
            {
                "id": seal.id,
                "first_id": seal.first_id,
                "last_id": seal.last_id,
                "row_ids": list(seal.row_ids),
                "row_digests": list(seal.row_digests),
                "previous_hash": seal.previous_hash,
                "hash": seal.hash,
                "sealed_at": seal.sealed_at,
            },
        )

    async def find_seal_after(self, seal_id: int) -> Seal | None:
        """Return the seal with the next higher id, or None."""
        row = (await self._session.execute(_NEXT_SEAL, {"after": seal_id})).mappings().first()
        return None if row is None else _seal(row)

    async def count_seals(self) -> int:
        """Return how many seals there are."""
        return int((await self._session.execute(_COUNT_SEALS)).scalar_one())

    async def count_waiting(self, previous: Link) -> tuple[int, float]:
        """Return how many rows stand behind ``previous``, and for how many seconds the oldest."""
        found: Any = (await self._session.execute(_WAITING, {"after": previous.last_id})).one()
        return int(found.rows), float(found.seconds)

    async def find_unseen_encryption(self) -> UUID | None:
        """Return the first application whose PAN was encrypted without a row, or None."""
        return (await self._session.execute(_UNSEEN_ENCRYPTION)).scalar_one_or_none()

    async def find_unseen_decryption(self) -> UUID | None:
        """Return the first application that was reported on without a row before, or None."""
        return (await self._session.execute(_UNSEEN_DECRYPTION)).scalar_one_or_none()


def _seal(row: RowMapping) -> Seal:
    return Seal(**row)
