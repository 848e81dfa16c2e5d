"""
Emotional features of the contract ``feat/1``: how a person has felt, and where that is going.

Sums are by ``math.fsum`` over terms that depend on one event alone: order cannot matter.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from ecs.domain.affect import PLEASANT, UNPLEASANT
from ecs.domain.credit.emotional_history import EmotionalFacts, EmotionalHistory

EVENTS_MIN: Final = 5
SHRINKAGE_EVENTS: Final = 8  # So many events weigh as much as the belief that mood is neutral.
SILENCE_MAX: Final = timedelta(hours=72)
CONTRADICTION_SHARE_MAX: Final = Fraction(2, 5)
MICROSECOND: Final = timedelta(microseconds=1)
DAY: Final = timedelta(days=1)
# Moments in units so small that no product with the least weight a float can hold becomes 0.
TICK_EXPONENT: Final = 200


class AbsentReason(StrEnum):
    """Why no emotional data took part. The values are part of the public API."""

    NO_CONSENT = "no_consent"
    TOO_FEW = "too_few"
    STALE = "stale"
    OFF = "off"
    INCONSISTENT = "inconsistent"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionFeatures:
    """Mean valence, and its slope a day; both weighted by confidence and shrunk towards 0."""

    emo_valence: float
    emo_trend: float


def find_absence(facts: EmotionalFacts, *, now: datetime) -> AbsentReason | None:
    """
    Return why the features are missing, None when they are there. Missing is not neutral.

    Raises:
        ValueError: an event lies outside ``[now - window_days, now)``.
    """
    history = facts.history
    _require_window(facts, now=now)
    if not facts.consent_ids:
        return AbsentReason.NO_CONSENT
    if len(history) < EVENTS_MIN:
        return AbsentReason.TOO_FEW
    if now - max(history.captured_at) > SILENCE_MAX:
        return AbsentReason.STALE
    return AbsentReason.INCONSISTENT if _contradicts_itself(history) else None


def emotion_features(history: EmotionalHistory) -> EmotionFeatures:
    """Return the features of at least one event. Source: docs/credit-decision.md, section 5."""
    weights = _weights(history)
    shrinkage = len(history) / (len(history) + SHRINKAGE_EVENTS)
    # Adding 0 turns -0 into 0: a database's JSON does not know the former.
    return EmotionFeatures(
        emo_valence=shrinkage * _mean(history.valences, weights) + 0.0,
        emo_trend=shrinkage * _slope_a_day(history, weights) + 0.0,
    )


def _require_window(facts: EmotionalFacts, *, now: datetime) -> None:
    oldest = now - timedelta(days=facts.window_days)
    if not all(oldest <= moment < now for moment in facts.history.captured_at):
        raise ValueError("an emotional event lies outside the window")


def _contradicts_itself(history: EmotionalHistory) -> bool:
    rows = zip(history.emotions, history.valences, history.confidences, strict=True)
    against: list[float] = []
    others: list[float] = []
    for emotion, valence, confidence in rows:
        (against if _contradicts(emotion, valence) else others).append(confidence)
    # against / (against + others) > share, without a product that rounds: the sign is exact.
    share = CONTRADICTION_SHARE_MAX
    speaking = against * (share.denominator - share.numerator)
    opposing = [-weight for weight in others] * share.numerator
    return math.fsum(speaking + opposing) > 0


def _contradicts(emotion: str, valence: float) -> bool:
    return (emotion in PLEASANT and valence < 0) or (emotion in UNPLEASANT and valence > 0)


def _weights(history: EmotionalHistory) -> tuple[float, ...]:
    """Return the confidences, enlarged by one power of two (hence exactly): the largest to 1..2."""
    _, exponent = math.frexp(max(history.confidences))
    return tuple(math.ldexp(confidence, 1 - exponent) for confidence in history.confidences)


def _mean(values: tuple[float, ...], weights: tuple[float, ...]) -> float:
    products = (weight * value for weight, value in zip(weights, values, strict=True))
    return math.fsum(products) / math.fsum(weights)


def _slope_a_day(history: EmotionalHistory, weights: tuple[float, ...]) -> float:
    """Return the weighted least-squares slope of valence; 0 when times do not vary."""
    if len(set(history.captured_at)) == 1:
        return 0.0
    # Both seen from the heaviest event: there the means round least.
    _, origin, level = max(zip(weights, history.captured_at, history.valences, strict=True))
    ticks = tuple(_ticks(moment - origin) for moment in history.captured_at)
    moods = tuple(valence - level for valence in history.valences)
    middle, mean = _mean(ticks, weights), _mean(moods, weights)
    rows = tuple(zip(weights, ticks, moods, strict=True))
    joint = math.fsum(weight * (tick - middle) * (mood - mean) for weight, tick, mood in rows)
    spread = math.fsum(weight * (tick - middle) ** 2 for weight, tick, _ in rows)
    return joint / spread * _ticks(DAY)


def _ticks(duration: timedelta) -> float:
    return math.ldexp(duration / MICROSECOND, TICK_EXPONENT)
