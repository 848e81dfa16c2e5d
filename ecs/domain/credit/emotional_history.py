"""What devices told of a person's mood: the rows a decision may look at, column by column."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ecs.domain.period import canonical_moment


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionalHistory:
    """
    The events of the window, already cut to the limit, as columns of equal length.

    Only of clients whose consent stands; confidences in (0, 1], valences in [-1, 1].
    """

    event_ids: tuple[UUID, ...] = ()
    client_ids: tuple[UUID, ...] = ()
    captured_at: tuple[datetime, ...] = ()
    emotions: tuple[str, ...] = ()
    confidences: tuple[float, ...] = ()
    valences: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len({len(column) for column in self._columns()}) > 1:
            raise ValueError("the columns of a history differ in length")
        if any(moment.tzinfo is None for moment in self.captured_at):
            raise ValueError("a moment of a history has no time zone")
        if not all(0 < confidence <= 1 for confidence in self.confidences):
            raise ValueError("a confidence lies outside (0, 1]")
        if not all(-1 <= valence <= 1 for valence in self.valences):
            raise ValueError("a valence lies outside [-1, 1]")

    def __len__(self) -> int:
        return len(self.event_ids)

    def sorted_keys(self) -> tuple[tuple[UUID, UUID], ...]:
        """Return event and client of each row in ascending order, whatever order they came in."""
        return tuple(sorted(zip(self.event_ids, self.client_ids, strict=True)))

    def sha256(self) -> str:
        """
        Return the hex digest of the canonical form of all events.

        The form is a JSON array, without spaces, of ``[client_id, event_id, captured_at, emotion,
        confidence, valence]`` in the order of client and event; moments are ISO 8601 in UTC with
        microseconds, numbers the shortest that read back as the same binary64.
        """
        rows = sorted(
            zip(
                map(str, self.client_ids),
                map(str, self.event_ids),
                map(canonical_moment, self.captured_at),
                map(str, self.emotions),
                map(float, self.confidences),
                map(float, self.valences),
                strict=True,
            )
        )
        return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()

    def _columns(self) -> tuple[tuple[object, ...], ...]:
        return (
            self.event_ids,
            self.client_ids,
            self.captured_at,
            self.emotions,
            self.confidences,
            self.valences,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionalFacts:
    """The consents that stand, in ascending order, and what they let a decision look at."""

    consent_ids: tuple[UUID, ...]
    history: EmotionalHistory
    window_days: int

    def __post_init__(self) -> None:
        if self.consent_ids != tuple(sorted(self.consent_ids)):
            raise ValueError("the consents are not in ascending order")
        if len(self.history) and not self.consent_ids:
            raise ValueError("emotional events without a consent")
