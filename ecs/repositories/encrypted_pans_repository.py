"""Reads and writes of encrypted PANs, wherever one is stored."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.events import ApplicationSubmitted
from ecs.repositories.results import rowcount

# An event's ciphertext is base64. Whatever is no base64 must not make the whole query fail, so it
# is looked at before it is decoded; the first 36 bytes hold any key's id (see tables, KEY_ID).
_EVENTS: Final = f"""
    SELECT id, payload->>'application_id' AS application_id, payload->>'pan_encrypted' AS pan,
           CASE WHEN octet_length(head) > 2
                THEN encode(substring(head FROM 3 FOR get_byte(head, 1)), 'escape') ELSE '' END
               AS key_id
    FROM outbox_events
    CROSS JOIN LATERAL (
        SELECT CASE WHEN payload->>'pan_encrypted' ~ '^[A-Za-z0-9+/]+={{0,2}}$'
                     AND length(payload->>'pan_encrypted') % 4 = 0
                    THEN decode(left(payload->>'pan_encrypted', 48), 'base64')
                    ELSE CAST('' AS bytea) END AS head
    ) AS decoded
    WHERE name = '{ApplicationSubmitted.name}'
"""  # noqa: S608  (our own words)
_FIND_APPLICATIONS: Final = text("""
SELECT id, CAST(id AS text) AS application_id, pan_ciphertext AS pan
FROM prequalification_applications
WHERE pan_key_id <> :key_id AND id > :after
ORDER BY id LIMIT :limit
""")
_FIND_EVENTS: Final = text(f"""
SELECT id, application_id, pan FROM ({_EVENTS}) AS events
WHERE key_id <> :key_id AND id > :after
ORDER BY id LIMIT :limit
""")  # noqa: S608  (our own words)
# Whoever holds a row has it: rows in use wait for the next pass, and nobody waits for anybody.
_REPLACE_IN_APPLICATIONS: Final = text("""
WITH replaced (id, old, new) AS (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:olds AS bytea[]), CAST(:news AS bytea[]))
), locked AS (
    SELECT id FROM prequalification_applications WHERE id = ANY(CAST(:ids AS uuid[]))
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE prequalification_applications a SET pan_ciphertext = replaced.new
FROM replaced JOIN locked USING (id)
WHERE a.id = replaced.id AND a.pan_ciphertext = replaced.old
""")
_REPLACE_IN_EVENTS: Final = text("""
WITH replaced (id, old, new) AS (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:olds AS text[]), CAST(:news AS text[]))
), locked AS (
    SELECT id FROM outbox_events WHERE id = ANY(CAST(:ids AS uuid[]))
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE outbox_events e
SET payload = jsonb_set(e.payload, '{pan_encrypted}', to_jsonb(replaced.new))
FROM replaced JOIN locked USING (id)
WHERE e.id = replaced.id AND e.payload->>'pan_encrypted' = replaced.old
""")
# Checking the exclusion constraint anew, we may wait for somebody who hands in the same PAN, and he
# for us. We give up before PostgreSQL looks for deadlocks, so that it is never he who has to.
_IMPATIENT: Final = text("SELECT set_config('lock_timeout', '200ms', true)")
_COUNT: Final = text(f"""
SELECT key_id, sum(number) AS number FROM (
    SELECT pan_key_id AS key_id, count(*) AS number FROM prequalification_applications GROUP BY 1
    UNION ALL
    SELECT key_id, count(*) FROM ({_EVENTS}) AS events GROUP BY 1
) AS counted
GROUP BY key_id ORDER BY key_id
""")  # noqa: S608  (our own words)


class Store(StrEnum):
    """Where encrypted PANs are kept."""

    APPLICATIONS = "applications"
    EVENTS = "events"


_FIND: Final[dict[Store, TextClause]] = {
    Store.APPLICATIONS: _FIND_APPLICATIONS,
    Store.EVENTS: _FIND_EVENTS,
}
_REPLACE: Final[dict[Store, TextClause]] = {
    Store.APPLICATIONS: _REPLACE_IN_APPLICATIONS,
    Store.EVENTS: _REPLACE_IN_EVENTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedPan:
    """A ciphertext, where it lies, and the application that it belongs to."""

    id: UUID
    application_id: UUID
    ciphertext: bytes = field(repr=False)


class EncryptedPansRepository:
    """Ciphertexts of PANs, for their rotation to another key."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(
        self, store: Store, *, not_of_key: str, after: UUID, limit: int
    ) -> list[EncryptedPan]:
        """Return ciphertexts of other keys, by id, from the first behind ``after``."""
        rows = await self._session.execute(
            _FIND[store], {"key_id": not_of_key, "after": after, "limit": limit}
        )
        return [
            EncryptedPan(
                id=row.id,
                application_id=_application_id(row.application_id, otherwise=row.id),
                ciphertext=row.pan if store is Store.APPLICATIONS else _decoded(row.pan),
            )
            for row in rows
        ]

    async def replace(
        self, store: Store, *, old: Sequence[EncryptedPan], new: Sequence[bytes]
    ) -> int:
        """
        Put each ``new`` ciphertext in the place of its ``old`` one; return how many.

        Those that somebody else replaced, or works on at this moment, stay as they are; waits
        for nobody longer than a moment.
        """
        form = bytes if store is Store.APPLICATIONS else _encoded
        await self._session.execute(_IMPATIENT)
        written = await self._session.execute(
            _REPLACE[store],
            {
                "ids": [pan.id for pan in old],
                "olds": [form(pan.ciphertext) for pan in old],
                "news": [form(ciphertext) for ciphertext in new],
            },
        )
        return rowcount(written)

    async def count_by_key(self) -> dict[str, int]:
        """Return how many ciphertexts there are, by the id of their key."""
        rows = await self._session.execute(_COUNT)
        return {row.key_id: int(row.number) for row in rows}


def _encoded(ciphertext: bytes) -> str:
    return b64encode(ciphertext).decode("ascii")


def _decoded(written: str | None) -> bytes:
    """Return the bytes behind base64, none if it is something else: no cipher takes them."""
    try:
        return b64decode(written or "", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _application_id(written: str | None, *, otherwise: UUID) -> UUID:
    """Return what an event says, or the event's own id: it still has to be named."""
    try:
        return UUID(written or "")
    except ValueError:
        return otherwise
