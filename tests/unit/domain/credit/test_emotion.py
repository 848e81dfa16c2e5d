import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.emotion import (
    EmotionSignal,
    effect_of,
    outcome,
    read_signal,
    tell_rise,
    unused,
)
from ecs.domain.credit.emotion_features import AbsentReason, EmotionFeatures
from ecs.domain.credit.emotional_history import EmotionalFacts
from ecs.domain.credit.limit import Caps, LimitTwin, Multipliers
from ecs.domain.credit.policy import EmotionMode
from ecs.domain.money import Money
from tests.unit.domain.credit.people import (
    CONSENT,
    NO_CONSENT,
    NOW,
    any_moods,
    earning,
    shared,
    shipped,
    steady_mood,
)

RULES = shipped().policy.emotion
OFF = replace(RULES, mode=EmotionMode.OFF)


def signal_of(facts: EmotionalFacts | None, **changes: Any) -> EmotionSignal:
    return read_signal(facts, now=NOW, rules=replace(RULES, **changes))


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


class TestEffect:
    @pytest.mark.parametrize(
        ("valence", "trend", "block", "factor"),
        [
            pytest.param(0.0, 0.0, 0.0, 1.0, id="neutral"),
            pytest.param(0.4, 0.1, -0.11, math.exp(0.044), id="cheerful and rising"),
            pytest.param(0.4, -0.1, -0.01, math.exp(0.004), id="cheerful and falling"),
            pytest.param(0.0, 0.2, -0.1, math.exp(0.04), id="the whole trend"),
            pytest.param(0.0, 1e11, -0.1, math.exp(0.04), id="not more than the whole trend"),
            pytest.param(1.0, 0.2, -0.25, 1.1, id="never above a tenth"),
            pytest.param(-0.4, 0.0, 0.06, 1.0, id="sad"),
            pytest.param(0.0, -1e11, 0.1, 1.0, id="not less than the whole trend downwards"),
            pytest.param(-1.0, -1e11, 0.25, 1.0, id="as sad as can be"),
        ],
    )
    def test_is_the_formula(
        self, valence: float, trend: float, block: float, factor: float
    ) -> None:
        effect = effect_of(EmotionFeatures(emo_valence=valence, emo_trend=trend), RULES)
        assert effect.block == pytest.approx(block, rel=1e-14)
        assert effect.factor == pytest.approx(factor, rel=1e-14)

    @given(valence=st.floats(-1, 1), trend=st.floats(allow_nan=False))
    def test_stays_within_the_bounds_of_the_policy(self, valence: float, trend: float) -> None:
        effect = effect_of(EmotionFeatures(emo_valence=valence, emo_trend=trend), RULES)
        assert abs(effect.block) <= 0.25
        assert 1 <= effect.factor <= 1.1
        assert math.copysign(1, effect.block) == 1 or effect.block

    @given(
        valences=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
        trends=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    )
    def test_never_falls_when_the_mood_is_better(
        self, valences: tuple[float, float], trends: tuple[float, float]
    ) -> None:
        worse, better = (
            effect_of(EmotionFeatures(emo_valence=valence, emo_trend=trend), RULES)
            for valence, trend in zip(sorted(valences), sorted(trends), strict=True)
        )
        assert worse.factor <= better.factor


class TestSignal:
    def test_has_an_effect_or_a_reason_why_not(self) -> None:
        present = signal_of(earning(1.03))
        rule = "^a signal has either an effect or a reason why it has none$"
        with pytest.raises(ValueError, match=rule):
            replace(present, absent_reason=AbsentReason.STALE)
        with pytest.raises(ValueError, match=rule):
            replace(present, effect=None)

    def test_knows_what_was_looked_at(self) -> None:
        facts = earning(1.03)
        signal = signal_of(facts)
        assert signal.inputs is not None
        keys = zip(signal.inputs.event_ids, signal.inputs.client_ids, strict=True)
        assert tuple(keys) == facts.history.sorted_keys()
        assert (signal.inputs.sha256, signal.inputs.window_days) == (facts.history.sha256(), 7)
        assert (signal.events, signal.consent_ids) == (31, (CONSENT,))
        assert signal.factor == pytest.approx(1.03)

    def test_of_too_little_knows_that_too(self) -> None:
        signal = signal_of(shared(steady_mood(1, events=4)))
        assert (signal.events, signal.consent_ids, signal.factor) == (4, (CONSENT,), 1)
        assert signal.absent_reason is AbsentReason.TOO_FEW

    @given(rows=any_moods())
    def test_of_a_policy_that_says_off_does_not_depend_on_anything(self, rows: Any) -> None:
        signal = read_signal(shared(rows), now=NOW, rules=OFF)
        assert signal == read_signal(None, now=NOW, rules=OFF)
        assert (signal.events, signal.consent_ids, signal.inputs) == (0, (), None)
        assert signal.absent_reason is AbsentReason.OFF

    def test_is_refused_where_nothing_was_read_against_the_policy(self) -> None:
        with pytest.raises(
            ValueError, match=r"^the policy asks for emotional facts, and none were read$"
        ):
            signal_of(None)


class TestOutcome:
    def test_says_what_took_part(self) -> None:
        signal = signal_of(earning(1.03))
        told = outcome(signal)
        assert (told.used, told.factor, told.signal) == (True, signal.factor, signal)

    def test_says_why_nothing_took_part(self) -> None:
        told = outcome(signal_of(NO_CONSENT))
        assert (told.used, told.factor) == (False, 1)
        assert told.signal.absent_reason is AbsentReason.NO_CONSENT

    def test_without_a_limit_used_nothing(self) -> None:
        told = unused(signal_of(earning(1.03)))
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
