"""Emotional events on their way in: what one item of a batch must satisfy, and its verdict."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

FUTURE_TOLERANCE: Final = timedelta(minutes=5)
# What is older is of no use to any decision, and retention removes it.
AGE_MAX: Final = timedelta(days=30)


class Source(StrEnum):
    """How a mood was read. The values are part of the public API."""

    SELF_REPORT = "self_report"
    WEARABLE = "wearable"
    VOICE = "voice"
    FACE = "face"
    TEXT = "text"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What became of one item. The values are part of the public API."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    UNKNOWN_CLIENT = "unknown_client"
    MISSING_SCOPE = "missing_scope"
    UNKNOWN_USER = "unknown_user"
    CONSENT_MISSING = "consent_missing"
    FUTURE_TIMESTAMP = "future_timestamp"
    TOO_OLD = "too_old"
    ID_CONFLICT = "id_conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingEvent:
    """
    One well-formed reading; ``index`` is its place in the batch.

    ``confidence`` is in [0, 1]; ``arousal`` and ``valence`` are in [-1, 1] (Russell's circumplex).
    """

    index: int
    client_id: UUID
    event_id: UUID
    user_id: UUID
    captured_at: datetime
    emotion: str
    confidence: float
    arousal: float
    valence: float
    source: str


def refusal(item: IncomingEvent, *, now: datetime) -> Verdict | None:
    """Return why ``item`` cannot be taken at ``now``, or None when nothing speaks against it."""
    if item.captured_at > now + FUTURE_TOLERANCE:
        return Verdict.FUTURE_TIMESTAMP
    if item.captured_at < now - AGE_MAX:
        return Verdict.TOO_OLD
    return None
