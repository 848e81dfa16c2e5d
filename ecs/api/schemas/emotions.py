"""JSON shapes of emotional events."""

import datetime as dt
from typing import Annotated, Any

from ecs.api.schemas.common import Answer
from ecs.api.schemas.ingestion import batch_field
from ecs.domain.emotions.summary import MoodDay
from ecs.wire.emotions import EmotionalEventIn
from ecs.wire.forms import Body


class EmotionalEventBatch(Body):
    """1 to 1,000 events of any people who consented; each is judged alone."""

    events: Annotated[list[Any], *batch_field(EmotionalEventIn)]


class MoodDayOut(Answer):
    """One UTC day; a day without events has a count of 0 and nulls."""

    date: dt.date
    count: int
    mean_valence: float | None
    mean_arousal: float | None
    shares: dict[str, float] | None


class MoodSummaryOut(Answer):
    """The caller's own mood, one entry a day, today last."""

    data: list[MoodDayOut]

    @classmethod
    def of(cls, days: list[MoodDay]) -> "MoodSummaryOut":
        """Return the shape of a summary; numbers have six decimals."""
        return cls(data=[_day(day) for day in days])


def _day(day: MoodDay) -> MoodDayOut:
    return MoodDayOut(
        date=day.day,
        count=day.count,
        mean_valence=_rounded(day.mean_valence),
        mean_arousal=_rounded(day.mean_arousal),
        shares=day.shares and {emotion: round(share, 6) for emotion, share in day.shares.items()},
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
