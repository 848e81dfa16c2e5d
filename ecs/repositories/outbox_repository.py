"""Reads and writes of the outbox. ``LISTEN outbox`` hears of each new row at commit."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.events import Cause, Event, OutboxMessage
from ecs.domain.jobs import ParkedJob
from ecs.repositories.results import rowcount

CHANNEL: Final = "outbox"
FAILURES_MAX: Final = 10

_ADD: Final = text("""
WITH written AS (
    INSERT INTO outbox_events (id, name, kind, destination, payload, request_id, trace_parent)
    VALUES (:id, :name, :kind, :destination, CAST(:payload AS jsonb), :request_id, :trace_parent)
)
SELECT pg_notify('outbox', :destination)
""")
# One notification a destination, however many events: the same ones of a transaction are one.
_ADD_MANY: Final = text("""
WITH written AS (
    INSERT INTO outbox_events (id, name, kind, destination, payload, request_id, trace_parent)
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:names AS text[]), CAST(:kinds AS text[]),
        CAST(:destinations AS text[]), CAST(:payloads AS jsonb[]), CAST(:request_ids AS text[]),
        CAST(:trace_parents AS text[]))
)
SELECT pg_notify('outbox', d.destination)
FROM (SELECT DISTINCT unnest(CAST(:destinations AS text[])) AS destination) AS d
""")
_TAKE: Final = text("""
SELECT id, name, kind, destination, payload, request_id, trace_parent, attempt, created_at
FROM outbox_events
WHERE destination = :destination AND published_at IS NULL AND parked_at IS NULL
  AND available_at <= now()
ORDER BY available_at LIMIT :limit
FOR UPDATE SKIP LOCKED
""")
# What is carried again was late from the moment it was due again, not from its first writing.
_MARK_PUBLISHED: Final = text("""
UPDATE outbox_events SET published_at = clock_timestamp(), last_error = NULL
WHERE id = ANY(CAST(:ids AS uuid[]))
RETURNING published_at - CASE WHEN attempt = 1 THEN created_at ELSE available_at END AS delay
""")
_MARK_FAILED: Final = text("""
UPDATE outbox_events
SET failures = outbox_events.failures + 1, last_error = f.reason,
    available_at = now() + make_interval(secs => least(power(2, outbox_events.failures), 60)),
    parked_at = CASE WHEN outbox_events.failures + 1 >= :failures_max THEN now() END
FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[])) AS f (id, reason)
WHERE outbox_events.id = f.id
RETURNING outbox_events.id, parked_at IS NOT NULL AS parked
""")
_RETRY: Final = text("""
UPDATE outbox_events
SET published_at = NULL, attempt = attempt + 1, available_at = now() + CAST(:pause AS interval)
WHERE id = :event_id
""")
# A job in progress is locked or leased, so a lost one is a job nobody holds. The pause doubles
# with each copy that was never started, so that a long queue is not flooded with copies: no more
# than twice where half a minute was promised, up to most of an hour where nobody waits. Those
# come first, too: thousands of mails that wait for their server do not go before one account.
_REDISPATCH_LOST: Final = text("""
WITH lost AS (
    SELECT j.id FROM jobs j JOIN outbox_events o ON o.id = j.id
    WHERE j.status IN ('queued', 'running')
      AND o.published_at < now() - CAST(:patience AS interval)
                         * power(2, least(greatest(o.attempt - j.attempts - 1, 0),
                                          CASE j.kind WHEN 'open_account' THEN 2 ELSE 8 END))
      AND (j.leased_until IS NULL OR j.leased_until <= now())
    ORDER BY j.kind <> 'open_account', j.id LIMIT :limit
    FOR UPDATE OF j SKIP LOCKED
)
UPDATE outbox_events o SET published_at = NULL, available_at = now(), attempt = o.attempt + 1
FROM lost WHERE o.id = lost.id
RETURNING o.id
""")
_FIND_PARKED_JOBS: Final = text("""
SELECT j.id, j.kind FROM jobs j JOIN outbox_events o ON o.id = j.id
WHERE j.status IN ('queued', 'running') AND o.parked_at IS NOT NULL
ORDER BY j.id LIMIT :limit
""")
_CLEAN: Final = text("""
DELETE FROM outbox_events WHERE id IN (
    SELECT o.id FROM outbox_events o
    WHERE o.published_at < now() - CAST(:age AS interval)
      AND NOT EXISTS (
          SELECT FROM jobs j WHERE j.id = o.id AND j.status IN ('queued', 'running'))
      AND NOT EXISTS (
          SELECT FROM prequalification_applications a
          WHERE o.destination = 'amqp:ecs.domain' AND a.status = 'PENDING'
            AND a.id = CAST(o.payload->>'application_id' AS uuid))
    LIMIT :limit FOR UPDATE SKIP LOCKED)
""")


class OutboxRepository:
    """Events waiting to be carried away."""

    def __init__(
        self, session: AsyncSession, *, trace_parent: Callable[[], str | None] = lambda: None
    ) -> None:
        self._session = session
        self._trace_parent = trace_parent

    async def add(self, event: Event, *, event_id: UUID, request_id: str | None) -> None:
        """Write ``event`` next to the change that caused it."""
        await self._session.execute(
            _ADD,
            {
                "id": event_id,
                "name": event.name,
                "kind": event.kind,
                "destination": event.destination,
                "payload": _payload_of(event),
                "request_id": request_id,
                "trace_parent": self._trace_parent(),
            },
        )

    async def add_many(self, events: Sequence[tuple[UUID, Event, Cause]]) -> None:
        """Write events with their ids and what each of them follows from."""
        if not events:
            return
        await self._session.execute(
            _ADD_MANY,
            {
                "ids": [event_id for event_id, _, _ in events],
                "names": [event.name for _, event, _ in events],
                "kinds": [event.kind for _, event, _ in events],
                "destinations": [event.destination for _, event, _ in events],
                "payloads": [_payload_of(event) for _, event, _ in events],
                "request_ids": [cause.request_id for _, _, cause in events],
                "trace_parents": [cause.trace_parent for _, _, cause in events],
            },
        )

    async def take(self, destination: str, *, limit: int) -> list[OutboxMessage]:
        """Lock and return the waiting events that nobody else is carrying."""
        rows = await self._session.execute(_TAKE, {"destination": destination, "limit": limit})
        return [OutboxMessage(**row) for row in rows.mappings()]

    async def mark_published(self, ids: Sequence[UUID]) -> list[timedelta]:
        """Remember that the destination has confirmed these; return how long each had waited."""
        rows = await self._session.execute(_MARK_PUBLISHED, {"ids": list(ids)})
        return list(rows.scalars())

    async def mark_failed(self, reasons: Mapping[UUID, str]) -> list[UUID]:
        """Note one more failure of each; return those that are parked for it."""
        rows = await self._session.execute(
            _MARK_FAILED,
            {
                "ids": list(reasons),
                "reasons": list(reasons.values()),
                "failures_max": FAILURES_MAX,
            },
        )
        return [row.id for row in rows if row.parked]

    async def retry(self, event_id: UUID, *, pause: timedelta) -> None:
        """Have the event carried again after ``pause``."""
        await self._session.execute(_RETRY, {"event_id": event_id, "pause": pause})

    async def redispatch_lost(self, *, patience: timedelta, limit: int) -> list[UUID]:
        """Have jobs carried again that were handed over long ago and that nobody works on."""
        rows = await self._session.execute(_REDISPATCH_LOST, {"patience": patience, "limit": limit})
        return list(rows.scalars())

    async def find_parked_jobs(self, *, limit: int) -> list[ParkedJob]:
        """Return unfinished jobs whose event no destination will ever take."""
        rows = await self._session.execute(_FIND_PARKED_JOBS, {"limit": limit})
        return [ParkedJob(**row) for row in rows.mappings()]

    async def remove_published(self, *, older_than: timedelta, limit: int) -> int:
        """Delete up to ``limit`` events that are done with; return how many."""
        deleted = await self._session.execute(_CLEAN, {"age": older_than, "limit": limit})
        return rowcount(deleted)


def _payload_of(event: Event) -> str:
    payload = {field.name: getattr(event, field.name) for field in fields(event)}
    return json.dumps(payload, default=str, allow_nan=False)
