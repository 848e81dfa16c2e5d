"""What shared emotional data did to a decision: at most, it raised the limit."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from ecs.domain.credit.emotion_features import (
    AbsentReason,
    EmotionFeatures,
    emotion_features,
    find_absence,
)
from ecs.domain.credit.emotional_history import EmotionalFacts
from ecs.domain.credit.limit import LimitTwin
from ecs.domain.credit.policy import EmotionMode, EmotionRules
from ecs.domain.credit.texts import emotion_text

INFORMATION_CODE: Final = "E01"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionInputs:
    """
    Which emotional facts a decision looked at: enough to find and to prove them.

    ``event_ids`` and ``client_ids`` go together: an event's id is its client's own.
    """

    window_days: int
    event_ids: tuple[UUID, ...]
    client_ids: tuple[UUID, ...]
    sha256: str

    @classmethod
    def of(cls, facts: EmotionalFacts) -> "EmotionInputs":
        """Return the identity of the facts, whatever order the events came in."""
        keys = facts.history.sorted_keys()
        return cls(
            window_days=facts.window_days,
            event_ids=tuple(event_id for event_id, _ in keys),
            client_ids=tuple(client_id for _, client_id in keys),
            sha256=facts.history.sha256(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionEffect:
    """What the features ask for: a block in log-odds of default, and the factor of the limit."""

    features: EmotionFeatures
    block: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionSignal:
    """
    What the emotional data of a person say: an effect, or why there is none.

    ``inputs`` is None where the policy forbids to look at any.
    """

    consent_ids: tuple[UUID, ...]
    inputs: EmotionInputs | None
    effect: EmotionEffect | None
    absent_reason: AbsentReason | None

    def __post_init__(self) -> None:
        if (self.effect is None) == (self.absent_reason is None):
            raise ValueError("a signal has either an effect or a reason why it has none")

    @property
    def factor(self) -> float:
        """By what the limit may be multiplied."""
        return self.effect.factor if self.effect else 1.0

    @property
    def events(self) -> int:
        """How many events were looked at."""
        return len(self.inputs.event_ids) if self.inputs else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """What a person is told about the use of emotional data; never an adverse reason."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionOutcome:
    """The part that emotional data took in a decision."""

    signal: EmotionSignal
    used: bool
    factor: float
    information: Information | None


def read_signal(
    facts: EmotionalFacts | None, *, now: datetime, rules: EmotionRules
) -> EmotionSignal:
    """
    Return what the facts say by the rules of the policy; ``None`` means that nothing was read.

    Raises:
        ValueError: nothing was read although the policy asks for it.
    """
    if rules.mode is EmotionMode.OFF:
        return EmotionSignal(
            consent_ids=(), inputs=None, effect=None, absent_reason=AbsentReason.OFF
        )
    if facts is None:
        raise ValueError("the policy asks for emotional facts, and none were read")
    absent_reason = find_absence(facts, now=now)
    return EmotionSignal(
        consent_ids=facts.consent_ids,
        inputs=EmotionInputs.of(facts),
        effect=None if absent_reason else effect_of(emotion_features(facts.history), rules),
        absent_reason=absent_reason,
    )


def effect_of(features: EmotionFeatures, rules: EmotionRules) -> EmotionEffect:
    """Return what the features ask for. The policy's bounds hold whatever they are."""
    trend = _clipped(features.emo_trend / rules.trend_scale, -1.0, 1.0)
    pull = rules.valence_weight * features.emo_valence + rules.trend_weight * trend
    block = _clipped(0.0 - pull, -rules.block_max, rules.block_max)  # Not -pull: that may be -0.
    factor = _clipped(math.exp(-rules.sensitivity * block), rules.factor_min, rules.factor_max)
    return EmotionEffect(features=features, block=block, factor=factor)


def outcome(signal: EmotionSignal, *, information: Information | None = None) -> EmotionOutcome:
    """Return the part that a signal took where people were assessed."""
    return EmotionOutcome(
        signal=signal,
        used=signal.effect is not None,
        factor=signal.factor,
        information=information,
    )


def unused(signal: EmotionSignal) -> EmotionOutcome:
    """Return the outcome where there was no limit to raise."""
    return EmotionOutcome(signal=signal, used=False, factor=1.0, information=None)


def tell_rise(*, without: LimitTwin, final: LimitTwin, locale: str) -> Information | None:
    """Return by how much emotion raised a limit, None when it did not."""
    if final.limit <= without.limit:
        return None
    rise = final.limit.cents / without.limit.cents - 1
    return Information(code=INFORMATION_CODE, text=emotion_text(rise, locale=locale))


def _clipped(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
