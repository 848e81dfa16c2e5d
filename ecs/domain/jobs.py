"""Background jobs: their life, and when a failed attempt is tried again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

ATTEMPTS_MAX: Final = 5
BACKOFF_SECONDS: Final = (1, 5, 15, 60)
assert len(BACKOFF_SECONDS) == ATTEMPTS_MAX - 1  # One pause between each two attempts.


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of background work, as its owner sees it."""

    id: UUID
    kind: str
    user_id: UUID
    status: JobStatus
    attempts: int
    result: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    finished_at: datetime | None


def pause_before_retry(attempts: int) -> timedelta | None:
    """Return how long to wait after ``attempts`` failed ones, or None to give up."""
    assert attempts >= 1, attempts
    if attempts >= ATTEMPTS_MAX:
        return None
    return timedelta(seconds=BACKOFF_SECONDS[attempts - 1])
