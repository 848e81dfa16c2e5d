"""What shared emotional data did to a decision: at most, it raised the limit."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final
from uuid import UUID

from ecs.domain.credit.limit import LimitTwin
from ecs.domain.credit.policy import EmotionMode, EmotionRules
from ecs.domain.credit.texts import emotion_text

INFORMATION_CODE: Final = "E01"


class AbsentReason(StrEnum):
    """Why no emotional data took part. The values are part of the public API."""

    NO_CONSENT = "no_consent"
    TOO_FEW = "too_few"
    STALE = "stale"
    OFF = "off"
    INCONSISTENT = "inconsistent"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionSignal:
    """What the emotional data of a person ask for; the policy says how far it may go."""

    factor: float
    events: int
    consent_ids: tuple[UUID, ...]
    absent_reason: AbsentReason | None

    def __post_init__(self) -> None:
        if self.absent_reason is not None and self.factor != 1:
            raise ValueError("an absent signal must not move the limit")

    @classmethod
    def absent(
        cls, reason: AbsentReason, *, events: int = 0, consent_ids: tuple[UUID, ...] = ()
    ) -> "EmotionSignal":
        """Return the signal of a person whose emotional data take no part."""
        return cls(factor=1.0, events=events, consent_ids=consent_ids, absent_reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """What a person is told about the use of emotional data; never an adverse reason."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionOutcome:
    """The part that emotional data took in a decision."""

    used: bool
    factor: float
    events: int
    consent_ids: tuple[UUID, ...]
    absent_reason: AbsentReason | None
    information: Information | None


def permitted(signal: EmotionSignal, rules: EmotionRules) -> EmotionSignal:
    """
    Return the signal that the policy lets take part.

    Raises:
        ValueError: the factor lies outside the policy's bounds.
    """
    if rules.mode is EmotionMode.OFF:
        return EmotionSignal.absent(AbsentReason.OFF)
    if not rules.factor_min <= signal.factor <= rules.factor_max:
        raise ValueError("an emotional factor outside the bounds of the policy")
    return signal


def outcome(signal: EmotionSignal, *, information: Information | None = None) -> EmotionOutcome:
    """Return the part that a signal took where people were assessed."""
    return EmotionOutcome(
        used=signal.absent_reason is None,
        factor=signal.factor,
        events=signal.events,
        consent_ids=signal.consent_ids,
        absent_reason=signal.absent_reason,
        information=information,
    )


def unused(signal: EmotionSignal) -> EmotionOutcome:
    """Return the outcome where there was no limit to raise."""
    return replace(outcome(signal), used=False, factor=1.0)


def tell_rise(*, without: LimitTwin, final: LimitTwin, locale: str) -> Information | None:
    """Return by how much emotion raised a limit, None when it did not."""
    if final.limit <= without.limit:
        return None
    rise = final.limit.cents / without.limit.cents - 1
    return Information(code=INFORMATION_CODE, text=emotion_text(rise, locale=locale))
