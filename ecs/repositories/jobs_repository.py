"""
Reads and writes of background jobs.

Two ways to have one to oneself: ``start`` and ``hold`` lock its row until the transaction ends,
for work that is done in the database alone; ``lease`` claims it for a time without a lock, for
work that waits for somebody outside, who may think for longer than a transaction should last.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.jobs import Job, JobStatus

_COLUMNS: Final = (
    "id, kind, user_id, status, attempts, result, error_code, error_message, created_at,"
    " finished_at"
)
_ADD: Final = text(
    "INSERT INTO jobs (id, kind, user_id, status) VALUES (:id, :kind, :user_id, 'queued')"
)
_FIND: Final = text(f"SELECT {_COLUMNS} FROM jobs WHERE id = :id AND user_id = :user_id")  # noqa: S608  (constant)
_START: Final = text(
    "UPDATE jobs SET status = 'running', attempts = attempts + 1,"
    " started_at = coalesce(started_at, now())"
    " WHERE id = (SELECT id FROM jobs WHERE id = :id AND status IN ('queued', 'running')"
    " FOR UPDATE SKIP LOCKED) RETURNING attempts"
)
_HOLD: Final = text(
    f"SELECT {_COLUMNS} FROM jobs"  # noqa: S608  (constant)
    " WHERE id = :id AND status IN ('queued', 'running') FOR UPDATE SKIP LOCKED"
)
# The row count decides who works: a second UPDATE waits for the first, and sees its lease.
_LEASE: Final = text("""
UPDATE jobs SET status = 'running', attempts = attempts + 1,
    started_at = coalesce(started_at, now()), leased_until = now() + CAST(:duration AS interval)
WHERE id = :id AND status IN ('queued', 'running')
  AND (leased_until IS NULL OR leased_until <= now())
RETURNING attempts
""")
_POSTPONE: Final = text("""
UPDATE jobs SET leased_until = now() + CAST(:pause AS interval)
WHERE id = :id AND status = 'running' AND attempts = :attempt
RETURNING id
""")
# What is in doubt is noted where a finished job has its result; the note outlives later attempts.
_POSTPONE_IN_DOUBT: Final = text("""
UPDATE jobs SET leased_until = now() + CAST(:pause AS interval), result = '{"in_doubt": true}'
WHERE id = :id AND status = 'running' AND attempts = :attempt AND result IS NULL
RETURNING id
""")
_FINISH: Final = text("""
UPDATE jobs SET status = :status, result = CAST(:result AS jsonb), error_code = :error_code,
    error_message = :error_message, leased_until = NULL, finished_at = now()
WHERE id = :id AND status IN ('queued', 'running')
  AND attempts = coalesce(CAST(:attempt AS integer), attempts)
RETURNING id
""")


class JobsRepository:
    """Background jobs, as stored."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, job_id: UUID, *, kind: str, user_id: UUID) -> None:
        """Store a job that is still to be carried to its queue."""
        await self._session.execute(_ADD, {"id": job_id, "kind": kind, "user_id": user_id})

    async def find(self, job_id: UUID, *, user_id: UUID) -> Job | None:
        """Return the job if it is this person's, or None."""
        found = await self._session.execute(_FIND, {"id": job_id, "user_id": user_id})
        row = found.mappings().one_or_none()
        return None if row is None else _job(row)

    async def start(self, job_id: UUID) -> int | None:
        """
        Count one more attempt and return which it is.

        None when the job is finished, or when somebody else holds it: a copy is no attempt.
        """
        return (await self._session.execute(_START, {"id": job_id})).scalar_one_or_none()

    async def hold(self, job_id: UUID) -> Job | None:
        """
        Hold an unfinished job until the transaction ends.

        None when it is finished, or when somebody else holds it. The sweeper takes a job that
        nobody holds for lost, so whoever works on one keeps it held all the while.
        """
        held = await self._session.execute(_HOLD, {"id": job_id})
        row = held.mappings().one_or_none()
        return None if row is None else _job(row)

    async def lease(self, job_id: UUID, *, duration: timedelta) -> int | None:
        """
        Claim a job for ``duration``, with no lock behind it, and return which attempt this is.

        None when it is finished, or when somebody else has it. For work that waits for answers
        from outside: once the lease has run out, anybody may claim the job again.
        """
        leased = await self._session.execute(_LEASE, {"id": job_id, "duration": duration})
        return leased.scalar_one_or_none()

    async def postpone(self, job_id: UUID, *, attempt: int, pause: timedelta) -> bool:
        """
        Let nobody claim the job during ``pause``; return whether ``attempt`` was still the newest.

        It is not when a lease ran out and somebody else has claimed the job since.
        """
        postponed = await self._session.execute(
            _POSTPONE, {"id": job_id, "attempt": attempt, "pause": pause}
        )
        return postponed.scalar_one_or_none() is not None

    async def postpone_in_doubt(self, job_id: UUID, *, attempt: int, pause: timedelta) -> bool:
        """
        Postpone a job that has perhaps had its effect already; return whether it was.

        It is not when that is noted of an earlier attempt, nor when ``attempt`` is not the newest.
        """
        postponed = await self._session.execute(
            _POSTPONE_IN_DOUBT, {"id": job_id, "attempt": attempt, "pause": pause}
        )
        return postponed.scalar_one_or_none() is not None

    async def succeed(self, job_id: UUID, *, result: Mapping[str, Any]) -> None:
        """Note that the work is done, whichever attempt says so."""
        await self._finish(job_id, status=JobStatus.SUCCEEDED, result=json.dumps(dict(result)))

    async def fail(
        self, job_id: UUID, *, code: str, message: str, attempt: int | None = None
    ) -> bool:
        """
        Note that the work will not be done, and why; return whether this ended the job.

        Whoever only leased it says which ``attempt`` failed: another one may be at work by now.
        """
        return await self._finish(
            job_id,
            status=JobStatus.FAILED,
            attempt=attempt,
            error_code=code,
            error_message=message,
        )

    async def _finish(
        self, job_id: UUID, *, status: JobStatus, attempt: int | None = None, **values: str
    ) -> bool:
        blank = {"result": None, "error_code": None, "error_message": None}
        which = {"id": job_id, "status": str(status), "attempt": attempt}
        finished = await self._session.execute(_FINISH, blank | values | which)
        return finished.scalar_one_or_none() is not None


def _job(row: RowMapping) -> Job:
    return Job(**{**row, "status": JobStatus(row["status"])})
