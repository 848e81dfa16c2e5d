"""A person's own mood, day by day."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from math import fsum

from ecs.domain.affect import Emotion


@dataclass(frozen=True, slots=True, kw_only=True)
class MoodCount:
    """How often one emotion was read on one UTC day, with the sums of its dimensions."""

    day: date
    emotion: str
    count: int
    valence_sum: float
    arousal_sum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MoodDay:
    """One UTC day; without any event there is nothing but the count of 0."""

    day: date
    count: int
    mean_valence: float | None
    mean_arousal: float | None
    shares: dict[str, float] | None


def summarise(days: Iterable[date], counts: Sequence[MoodCount]) -> list[MoodDay]:
    """Return one summary a day, in the order of ``days``; the shares of a day add up to 1."""
    return [_summary(day, [count for count in counts if count.day == day]) for day in days]


def _summary(day: date, counts: Sequence[MoodCount]) -> MoodDay:
    total = sum(count.count for count in counts)
    if total == 0:
        return MoodDay(day=day, count=0, mean_valence=None, mean_arousal=None, shares=None)
    by_emotion = {count.emotion: count.count for count in counts}
    return MoodDay(
        day=day,
        count=total,
        mean_valence=fsum(count.valence_sum for count in counts) / total,
        mean_arousal=fsum(count.arousal_sum for count in counts) / total,
        shares={emotion.value: by_emotion.get(emotion, 0) / total for emotion in Emotion},
    )
