from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.emotion import (
    AbsentReason,
    EmotionSignal,
    outcome,
    permitted,
    tell_rise,
    unused,
)
from ecs.domain.credit.limit import Caps, LimitTwin, Multipliers
from ecs.domain.credit.policy import EmotionMode
from ecs.domain.money import Money
from tests.unit.domain.credit.people import NO_CONSENT, shipped

RULES = shipped().policy.emotion
CONSENT = UUID(int=7)
PRESENT = EmotionSignal(factor=1.03, events=31, consent_ids=(CONSENT,), absent_reason=None)


def twin(limit: Money) -> LimitTwin:
    return LimitTwin(
        base=1.0,
        multipliers=Multipliers(
            daily_spend=1.0, transaction_frequency=1.0, risk=1.0, emotional_trend=1.0
        ),
        uncapped=1.0,
        caps=Caps(absolute=1.0, income=1.0, affordability=1.0),
        caps_bound=(),
        limit=limit,
    )


class TestSignal:
    @pytest.mark.parametrize("reason", list(AbsentReason))
    def test_that_is_absent_cannot_move_the_limit(self, reason: AbsentReason) -> None:
        assert EmotionSignal.absent(reason).factor == 1
        with pytest.raises(ValueError, match="must not move"):
            replace(EmotionSignal.absent(reason), factor=1.01)

    @given(
        factor=st.floats(allow_infinity=True, allow_nan=True).filter(lambda x: not 1 <= x <= 1.1)
    )
    def test_outside_the_policy_is_refused(self, factor: float) -> None:
        with pytest.raises(ValueError, match="bounds of the policy"):
            permitted(replace(PRESENT, factor=factor), RULES)

    @pytest.mark.parametrize("factor", [1.0, 1.03, 1.1])
    def test_inside_the_policy_passes(self, factor: float) -> None:
        signal = replace(PRESENT, factor=factor)
        assert permitted(signal, RULES) == signal

    def test_is_dropped_when_the_policy_says_off(self) -> None:
        rules = replace(RULES, mode=EmotionMode.OFF)
        assert permitted(PRESENT, rules) == EmotionSignal.absent(AbsentReason.OFF)


class TestOutcome:
    def test_says_what_took_part(self) -> None:
        told = outcome(PRESENT)
        assert (told.used, told.factor, told.events) == (True, 1.03, 31)
        assert (told.consent_ids, told.absent_reason) == ((CONSENT,), None)

    def test_says_why_nothing_took_part(self) -> None:
        told = outcome(NO_CONSENT)
        assert (told.used, told.factor) == (False, 1)
        assert told.absent_reason is AbsentReason.NO_CONSENT

    def test_without_a_limit_used_nothing(self) -> None:
        told = unused(PRESENT)
        assert (told.used, told.factor, told.information) == (False, 1, None)


class TestInformation:
    @pytest.mark.parametrize(
        ("without", "final", "text"),
        [
            (442_000, 455_000, "Your shared mood data raised the limit by 3 %"),
            (100_000, 110_000, "Your shared mood data raised the limit by 10 %"),
            (5_000_000, 5_001_000, "Your shared mood data raised the limit by less than 1 %"),
        ],
    )
    def test_gives_the_real_percentage(self, without: int, final: int, text: str) -> None:
        told = tell_rise(without=twin(Money(without)), final=twin(Money(final)), locale="en")
        assert told is not None
        assert (told.code, told.text) == ("E01", text)

    def test_is_silent_when_the_limit_did_not_rise(self) -> None:
        same = twin(Money(100_000))
        assert tell_rise(without=same, final=same, locale="en") is None
