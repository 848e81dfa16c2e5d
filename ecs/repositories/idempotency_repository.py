"""Reads and writes of requests that must have one effect."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.repositories.results import rowcount

LOCK_BYTES: Final = 8

# In a statement of its own: whoever gets the lock then sees what the one before has committed.
_CLAIM: Final = text("SELECT pg_try_advisory_xact_lock(:lock)")
_FIND: Final = text("""
SELECT payload, result, created_at <= now() - CAST(:age AS interval) AS outdated
FROM idempotency_keys WHERE scope = :scope
""")
_REMOVE: Final = text("DELETE FROM idempotency_keys WHERE scope = :scope")
_ADD: Final = text(
    "INSERT INTO idempotency_keys (scope, payload, result)"
    " VALUES (:scope, :payload, CAST(:result AS jsonb))"
)
_FORGET: Final = text("""
DELETE FROM idempotency_keys WHERE scope IN (
    SELECT scope FROM idempotency_keys WHERE created_at < now() - CAST(:age AS interval)
    ORDER BY created_at LIMIT :limit)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptResult:
    """What a request under a key came to; ``payload`` is the HMAC of what it said."""

    payload: bytes = field(repr=False)
    result: Mapping[str, Any]


class IdempotencyRepository:
    """Requests under an ``Idempotency-Key``, and their results."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, scope: bytes) -> bool:
        """Serve ``scope`` alone until the transaction ends; return False when another does."""
        lock = int.from_bytes(scope[:LOCK_BYTES], "big", signed=True)
        return bool((await self._session.execute(_CLAIM, {"lock": lock})).scalar_one())

    async def find(self, scope: bytes, *, younger_than: timedelta) -> KeptResult | None:
        """Return what is kept under ``scope``, or None; what is too old makes room."""
        found = await self._session.execute(_FIND, {"scope": scope, "age": younger_than})
        row = found.one_or_none()
        if row is not None and row.outdated:
            await self._session.execute(_REMOVE, {"scope": scope})
        if row is None or row.outdated:
            return None
        return KeptResult(payload=bytes(row.payload), result=row.result)

    async def add(self, scope: bytes, *, payload: bytes, result: Mapping[str, Any]) -> None:
        """Keep the result of a request, next to its effect."""
        values = {"scope": scope, "payload": payload, "result": json.dumps(result, allow_nan=False)}
        await self._session.execute(_ADD, values)

    async def forget(self, *, older_than: timedelta, limit: int) -> int:
        """Delete up to ``limit`` results that nobody may ask for any more; return how many."""
        deleted = await self._session.execute(_FORGET, {"age": older_than, "limit": limit})
        return rowcount(deleted)
