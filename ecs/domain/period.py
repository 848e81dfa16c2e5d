"""
Stretches of time that decisions look at, and the one spelling of a moment in their records.

Half-open: the start belongs to a stretch, the end not.
"""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The ``days`` before a moment, and at most ``rows_max`` of the newest rows in them."""

    days: int
    rows_max: int


def canonical_moment(moment: datetime) -> str:
    """Return ISO 8601 in UTC with microseconds, whatever zone the moment came in."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
