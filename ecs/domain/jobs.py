"""Background jobs: their life, and when a failed attempt is tried again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

BACKOFF_SECONDS: Final = (1, 5, 15, 60)
ATTEMPTS_MAX: Final = len(BACKOFF_SECONDS) + 1  # One pause between each two attempts.
# A mail server may be down for a night; after a day the news is no news any more.
MAIL_BACKOFF_SECONDS: Final = (1, 5, 15, 60, 300, 900, *(3600 for _ in range(24)))
MAIL_ATTEMPTS_MAX: Final = len(MAIL_BACKOFF_SECONDS) + 1
# After a mail that has perhaps arrived, before the one repeat: a busy server gets time.
MAIL_IN_DOUBT_PAUSE: Final = timedelta(minutes=15)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedJob:
    """An unfinished job whose event no destination will ever take."""

    id: UUID
    kind: str


def pause_before_retry(
    attempts: int, *, backoff_seconds: tuple[int, ...] = BACKOFF_SECONDS
) -> timedelta | None:
    """Return how long to wait after ``attempts`` failed ones, or None to give up."""
    assert attempts >= 1, attempts
    if attempts > len(backoff_seconds):
        return None
    return timedelta(seconds=backoff_seconds[attempts - 1])
