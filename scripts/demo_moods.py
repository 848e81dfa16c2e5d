"""
Moods of the demo people: they drift, they follow the day, and they react to money.

A mood is a function of the person, the seed and the moment alone, so that two looks at the same
hours see the same readings: what was produced before is a duplicate, not a contradiction.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from ecs.domain.affect import Emotion
from ecs.domain.emotions.events import Source
from ecs.domain.transactions import IncomingTransaction

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
MEMORY: Final = 3 * DAY  # What money did is forgotten by then.
DRIFT_DAYS: Final = ((2.3, 0.5), (5.1, 0.3), (11.7, 0.2))  # Periods and their share of the swing.
NOISE: Final = 0.05
NEUTRAL: Final = 0.1
EXCITED: Final = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperament:
    """Where a person's valence and arousal settle, and how far they swing by themselves."""

    valence: float
    arousal: float
    swing: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What one kind of transaction does to a mood at first, and how fast that wears off."""

    valence: float
    arousal: float
    fades: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading of a mood, as a device would send it."""

    event_id: UUID
    user_id: UUID
    captured_at: datetime
    emotion: Emotion
    confidence: float
    arousal: float
    valence: float
    source: Source

    def as_event(self) -> dict[str, Any]:
        """Return the event that the device sends, by whichever way."""
        return {
            "event_id": str(self.event_id),
            "user_id": str(self.user_id),
            "captured_at": self.captured_at.isoformat(),
            "emotion_primary": self.emotion.value,
            "emotion_confidence": self.confidence,
            "arousal": self.arousal,
            "valence": self.valence,
            "source": self.source.value,
        }


TEMPERAMENTS: Final[dict[str, Temperament]] = {
    "excellent": Temperament(valence=0.45, arousal=0.1, swing=0.2),
    "steady": Temperament(valence=0.3, arousal=0.0, swing=0.2),
    "thin_file": Temperament(valence=0.2, arousal=0.15, swing=0.3),
    "indebted": Temperament(valence=-0.2, arousal=0.2, swing=0.25),
    "gambler": Temperament(valence=0.0, arousal=0.35, swing=0.45),
    "denied": Temperament(valence=-0.35, arousal=0.1, swing=0.25),
    "referred": Temperament(valence=0.1, arousal=0.2, swing=0.3),
}
EVEN: Final = Temperament(valence=0.0, arousal=0.0, swing=0.3)
REACTIONS: Final[dict[str | None, Reaction]] = {
    "income": Reaction(valence=0.45, arousal=0.3, fades=18 * HOUR),
    "leisure": Reaction(valence=0.15, arousal=0.1, fades=5 * HOUR),
    "dining": Reaction(valence=0.1, arousal=0.05, fades=3 * HOUR),
    "gambling": Reaction(valence=-0.25, arousal=0.35, fades=9 * HOUR),
    "fee": Reaction(valence=-0.2, arousal=0.15, fades=10 * HOUR),
    "debt_payment": Reaction(valence=-0.2, arousal=0.1, fades=14 * HOUR),
    "housing": Reaction(valence=-0.1, arousal=0.05, fades=8 * HOUR),
}
SOURCES: Final = {
    Source.WEARABLE: 0.7,
    Source.SELF_REPORT: 0.1,
    Source.VOICE: 0.08,
    Source.FACE: 0.07,
    Source.TEXT: 0.05,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diary:
    """A demo person whose mood can be read at any moment; ``money`` is what moved lately."""

    user_id: UUID
    temperament: Temperament
    money: Sequence[IncomingTransaction]
    seed: int

    def readings(self, *, until: datetime, span: timedelta, count: int) -> list[Reading]:
        """Return ``count`` readings spread over ``span`` before ``until``, oldest first."""
        if count == 0:
            return []
        slot = span / count
        newest = (until - EPOCH) // slot
        return [self._reading(number, slot) for number in range(newest - count, newest)]

    def mood_at(self, moment: datetime) -> tuple[float, float]:
        """Return valence and arousal at a moment, each in [-1, 1], before any noise."""
        valence = self.temperament.valence + self.temperament.swing * self._drift(moment)
        arousal = self.temperament.arousal + 0.2 * _daylight(moment)
        for transaction in self.money:
            reaction = REACTIONS.get(transaction.category)
            since = moment - transaction.occurred_at
            if reaction is not None and timedelta() <= since < MEMORY:
                left = math.exp(-(since / reaction.fades))
                valence += reaction.valence * left
                arousal += reaction.arousal * left
        return _bounded(valence), _bounded(arousal)

    def _drift(self, moment: datetime) -> float:
        dice = random.Random(f"{self.user_id}:{self.seed}")  # noqa: S311  (a story, no secret)
        days = (moment - EPOCH) / DAY
        return math.fsum(
            share * math.sin(2 * math.pi * (days / period + dice.random()))
            for period, share in DRIFT_DAYS
        )

    def _reading(self, number: int, slot: timedelta) -> Reading:
        name = f"ecs-demo:{self.user_id}:{self.seed}:{slot}:{number}"
        dice = random.Random(name)  # noqa: S311  (a story, no secret)
        captured_at = EPOCH + number * slot + dice.uniform(0, 0.9) * slot
        valence, arousal = (
            round(_bounded(value + dice.gauss(0, NOISE)), 4) for value in self.mood_at(captured_at)
        )
        return Reading(
            event_id=uuid5(NAMESPACE_URL, name),
            user_id=self.user_id,
            captured_at=captured_at,
            emotion=_named(valence, arousal, dice),
            confidence=round(min(0.98, 0.5 + 0.4 * abs(valence) + dice.uniform(0, 0.1)), 4),
            arousal=arousal,
            valence=valence,
            source=dice.choices(list(SOURCES), weights=list(SOURCES.values()))[0],
        )


def _daylight(moment: datetime) -> float:
    """Return -1 in the small hours and 1 in the afternoon."""
    return -math.cos(2 * math.pi * ((moment - EPOCH) % DAY / DAY - 0.125))


def _named(valence: float, arousal: float, dice: random.Random) -> Emotion:
    """Return the word for a point of the circumplex; its sign never contradicts the valence."""
    if abs(valence) < NEUTRAL and arousal > EXCITED:
        return Emotion.SURPRISE
    if valence >= 0:
        return Emotion.HAPPINESS
    if arousal > EXCITED:
        return dice.choice([Emotion.ANGER, Emotion.FEAR])
    return dice.choices([Emotion.SADNESS, Emotion.DISGUST], weights=[0.85, 0.15])[0]


def _bounded(value: float) -> float:
    return min(max(value, -1.0), 1.0)
