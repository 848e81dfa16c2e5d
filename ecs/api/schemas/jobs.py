"""JSON shapes of background jobs."""

from typing import Literal
from uuid import UUID

from ecs.api.schemas.common import Answer
from ecs.domain.jobs import Job, JobStatus
from ecs.wire.forms import Instant


class JobResultOut(Answer):
    """What a job made."""

    account_id: UUID


class JobErrorOut(Answer):
    """Why a job failed."""

    code: str
    message: str


class JobOut(Answer):
    """One piece of background work."""

    id: UUID
    kind: Literal["open_account"]
    status: JobStatus
    result: JobResultOut | None
    error: JobErrorOut | None
    created_at: Instant
    finished_at: Instant | None

    @classmethod
    def of(cls, job: Job) -> "JobOut":
        """Return the shape of ``job``."""
        return cls(
            id=job.id,
            kind=job.kind,
            status=job.status,
            result=None if job.result is None else JobResultOut(**job.result),
            error=None
            if job.error_code is None
            else JobErrorOut(code=job.error_code, message=job.error_message or ""),
            created_at=job.created_at,
            finished_at=job.finished_at,
        )
