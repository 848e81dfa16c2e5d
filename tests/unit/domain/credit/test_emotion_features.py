import math
import re
from datetime import timedelta
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecs.domain.credit.emotion import effect_of
from ecs.domain.credit.emotion_features import AbsentReason, emotion_features, find_absence
from ecs.domain.credit.emotional_history import EmotionalFacts
from tests.unit.domain.credit.people import (
    DAY,
    HOUR,
    MICROSECOND,
    NO_CONSENT,
    NOW,
    MoodRow,
    any_moods,
    moods,
    shared,
    shipped,
    steady_mood,
)
from tests.unit.domain.credit.test_emotional_history import reordered

PAGE = Path(__file__).parents[4] / "docs" / "credit-decision.md"
TINY = 5e-324
# Slopes, a day, so small that a product on the way to them may have become 0.
UNDERFLOW = Fraction(1, 10**40)
streams = any_moods(at_least=1)


def exact_valence(rows: list[MoodRow]) -> Fraction:
    weight = sum(Fraction(confidence) for _, _, confidence, _ in rows)
    total = sum(Fraction(confidence) * Fraction(valence) for *_, confidence, valence in rows)
    return Fraction(len(rows), len(rows) + 8) * total / weight


def exact_trend(rows: list[MoodRow]) -> Fraction:
    """The same by the formula over pairs: no mean appears in it."""
    joint, spread = Fraction(0), Fraction(0)
    for (age, _, confidence, valence), (since, _, other, feeling) in combinations(rows, 2):
        days = Fraction((since - age) // MICROSECOND, DAY // MICROSECOND)
        weight = Fraction(confidence) * Fraction(other)
        joint += weight * days * (Fraction(valence) - Fraction(feeling))
        spread += weight * days * days
    return Fraction(len(rows), len(rows) + 8) * joint / spread if spread else Fraction(0)


def steepest(rows: list[MoodRow]) -> Fraction:
    """The steepest slope between any two events; no fitted line is steeper."""
    return max(
        (
            abs(Fraction(valence) - Fraction(feeling))
            / Fraction(abs(since - age) // MICROSECOND, DAY // MICROSECOND)
            for (age, _, _, valence), (since, _, _, feeling) in combinations(rows, 2)
            if age != since
        ),
        default=Fraction(0),
    )


def labelled(*parts: tuple[int, str, float]) -> list[MoodRow]:
    """So many events, an hour apart, of an emotion and a valence; all of the same confidence."""
    flat = [(emotion, valence) for count, emotion, valence in parts for _ in range(count)]
    return [(hour * HOUR, emotion, 0.7, valence) for hour, (emotion, valence) in enumerate(flat, 1)]


class TestByHand:
    def test_five_days_of_a_rising_mood(self) -> None:
        rows = [(day * DAY, "happiness", 1.0, 1.2 - day / 5) for day in range(1, 6)]
        found = emotion_features(moods(rows))
        assert found.emo_valence == pytest.approx(5 / 13 * 0.6, rel=1e-15)
        assert found.emo_trend == pytest.approx(5 / 13 * 0.2, rel=1e-14)

    def test_two_weights(self) -> None:
        """Means: day (3 x 1 + 1 x 5) / 4 = 2 ago, mood (3 x 0.1 + 1 x 0.9) / 4 = 0.3."""
        rows = [(1 * DAY, "surprise", 0.75, 0.1), (5 * DAY, "surprise", 0.25, 0.9)]
        found = emotion_features(moods(rows))
        assert found.emo_valence == pytest.approx(2 / 10 * 0.3, rel=1e-15)
        assert found.emo_trend == pytest.approx(2 / 10 * -0.2, rel=1e-15)

    def test_the_example_of_the_page(self) -> None:
        page = PAGE.read_text()
        rows = [
            (int(hours) * HOUR, emotion, float(confidence), float(valence))
            for hours, emotion, confidence, valence in re.findall(
                r"^\| (\d+) h \| (\w+) \| ([\d.]+) \| (-?[\d.]+) \|$", page, re.MULTILINE
            )
        ]
        assert len(rows) == 6
        facts = shared(rows)
        assert find_absence(facts, now=NOW) is None
        effect = effect_of(emotion_features(facts.history), shipped().policy.emotion)
        for line, value in {
            "emo_valence": effect.features.emo_valence,
            "emo_trend  ": effect.features.emo_trend,
            "block      ": effect.block,
            "factor     ": effect.factor,
        }.items():
            assert re.search(rf"^    {line} = .* = {value:.6f}$", page, re.MULTILINE), (line, value)

    @pytest.mark.parametrize("confidence", [1.0, 0.3, 1e-200, TINY])
    def test_the_same_confidence_of_all_does_not_matter(self, confidence: float) -> None:
        rows = [(day * DAY, "fear", confidence, day / 10 - 0.75) for day in range(1, 7)]
        plain = [(age, emotion, 1.0, valence) for age, emotion, _, valence in rows]
        found, expected = emotion_features(moods(rows)), emotion_features(moods(plain))
        assert found.emo_valence == pytest.approx(expected.emo_valence, rel=1e-15)
        assert found.emo_trend == pytest.approx(expected.emo_trend, rel=1e-13)


class TestFeatures:
    @given(rows=streams)
    @example(rows=[(MICROSECOND, "fear", TINY, 0.3), (2 * MICROSECOND, "fear", 1.0, 0.0)])
    def test_are_the_formula(self, rows: list[MoodRow]) -> None:
        found = emotion_features(moods(rows))
        assert abs(Fraction(found.emo_valence) - exact_valence(rows)) <= Fraction(1, 10**14)
        error = abs(Fraction(found.emo_trend) - exact_trend(rows))
        assert error <= steepest(rows) / 10**9 + UNDERFLOW

    @given(rows=streams)
    @example(rows=[(HOUR, "fear", TINY, -1.0), (2 * HOUR, "fear", 1.0, 1.0)])
    @example(rows=[(MICROSECOND, "fear", TINY, -1.0), (2 * MICROSECOND, "fear", 1.0, 1.0)])
    @example(rows=[(MICROSECOND, "fear", TINY, -1.0), (2 * MICROSECOND, "fear", TINY, TINY)])
    @example(rows=[(7 * DAY, "fear", 1.0, 1.0)] * 30 + [(MICROSECOND, "fear", TINY, -1.0)])
    @example(rows=[(HOUR, "fear", 1.0, -TINY)])
    @example(rows=[(HOUR, "fear", 1.0, -TINY), (2 * HOUR, "fear", 1.0, 0.0)])
    def test_are_numbers_within_their_bounds(self, rows: list[MoodRow]) -> None:
        found = emotion_features(moods(rows))
        assert abs(found.emo_valence) < 1
        assert math.isfinite(found.emo_trend)
        assert abs(found.emo_trend) <= steepest(rows) * (1 + Fraction(1, 10**9)) + UNDERFLOW
        assert math.copysign(1, found.emo_valence) == 1 or found.emo_valence
        assert math.copysign(1, found.emo_trend) == 1 or found.emo_trend

    @given(rows=streams, data=st.data())
    def test_do_not_depend_on_the_order_of_the_events(
        self, rows: list[MoodRow], data: st.DataObject
    ) -> None:
        straight = moods(rows)
        shuffled = reordered(straight, data.draw(st.permutations(range(len(rows)))))
        assert emotion_features(shuffled) == emotion_features(straight)

    @given(rows=streams)
    def test_turn_round_with_the_mood(self, rows: list[MoodRow]) -> None:
        opposite = [(age, emotion, weight, -valence) for age, emotion, weight, valence in rows]
        found, turned = emotion_features(moods(rows)), emotion_features(moods(opposite))
        assert turned.emo_valence == -found.emo_valence
        error = abs(Fraction(turned.emo_trend) + Fraction(found.emo_trend))
        assert error <= steepest(rows) / 10**9 + UNDERFLOW

    @given(valence=st.floats(-1, 1), weights=st.lists(st.floats(0.01, 1), min_size=1))
    def test_have_no_trend_when_times_do_not_vary(
        self, valence: float, weights: list[float]
    ) -> None:
        rows = [(HOUR, "surprise", weight, valence * weight) for weight in weights]
        assert emotion_features(moods(rows)).emo_trend == 0

    @given(valence=st.floats(-1, 1), rows=streams)
    def test_have_no_trend_when_moods_do_not_vary(
        self, valence: float, rows: list[MoodRow]
    ) -> None:
        constant = [(age, emotion, weight, valence) for age, emotion, weight, _ in rows]
        assert emotion_features(moods(constant)).emo_trend == 0

    def test_shrink_to_neutral_the_fewer_events_there_are(self) -> None:
        few, many = (emotion_features(moods(steady_mood(0.5, events=events))) for events in (5, 50))
        assert few.emo_valence == pytest.approx(5 / 13 * 0.5)
        assert many.emo_valence == pytest.approx(50 / 58 * 0.5)


class TestAbsence:
    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            pytest.param(NO_CONSENT, AbsentReason.NO_CONSENT, id="no consent"),
            pytest.param(shared([]), AbsentReason.TOO_FEW, id="nothing shared"),
            pytest.param(shared(steady_mood(1, events=4)), AbsentReason.TOO_FEW, id="four"),
            pytest.param(shared(steady_mood(1, events=5)), None, id="five"),
            pytest.param(shared([(72 * HOUR, "fear", 1.0, -1.0)] * 5), None, id="72 hours"),
            pytest.param(
                shared([(72 * HOUR + MICROSECOND, "fear", 1.0, -1.0)] * 5),
                AbsentReason.STALE,
                id="longer",
            ),
            pytest.param(
                shared([(150 * HOUR, "fear", 1.0, 1.0)] * 4), AbsentReason.TOO_FEW, id="few first"
            ),
            pytest.param(
                shared([(150 * HOUR, "fear", 1.0, 1.0)] * 5), AbsentReason.STALE, id="stale second"
            ),
            pytest.param(
                shared([(HOUR, "fear", 1.0, 1.0)] * 5), AbsentReason.INCONSISTENT, id="last"
            ),
        ],
    )
    def test_has_one_reason_the_first(
        self, facts: EmotionalFacts, reason: AbsentReason | None
    ) -> None:
        assert find_absence(facts, now=NOW) is reason

    @pytest.mark.parametrize("emotion", ["sadness", "fear", "anger", "disgust"])
    def test_unpleasant_emotions_contradict_a_pleasant_valence(self, emotion: str) -> None:
        assert find_absence(shared(labelled((5, emotion, TINY))), now=NOW) == "inconsistent"
        assert find_absence(shared(labelled((5, emotion, -1.0))), now=NOW) is None

    def test_happiness_contradicts_an_unpleasant_valence(self) -> None:
        assert find_absence(shared(labelled((5, "happiness", -TINY))), now=NOW) == "inconsistent"
        assert find_absence(shared(labelled((5, "happiness", 1.0))), now=NOW) is None

    @pytest.mark.parametrize(
        ("emotion", "valence"),
        [
            *(("surprise", valence) for valence in (-1.0, 0.0, 1.0)),
            *((emotion, zero) for emotion in ("happiness", "sadness") for zero in (0.0, -0.0)),
        ],
    )
    def test_surprise_and_zero_contradict_nothing(self, emotion: str, valence: float) -> None:
        assert find_absence(shared(labelled((5, emotion, valence))), now=NOW) is None

    @given(
        confidence=st.floats(0, 1, exclude_min=True, allow_subnormal=True), tens=st.integers(1, 20)
    )
    def test_begins_strictly_above_two_fifths_of_the_weight(
        self, confidence: float, tens: int
    ) -> None:
        against = [(HOUR, "fear", confidence, 0.5)] * (4 * tens)
        others = [(HOUR, "fear", confidence, -0.5)] * (6 * tens)
        assert find_absence(shared(against + others), now=NOW) is None
        swayed = against + others + [(HOUR, "happiness", TINY, -0.5)]
        assert find_absence(shared(swayed), now=NOW) is AbsentReason.INCONSISTENT

    @given(rows=any_moods(at_least=5), data=st.data())
    def test_does_not_depend_on_the_order_of_the_events(
        self, rows: list[MoodRow], data: st.DataObject
    ) -> None:
        order = data.draw(st.permutations(rows))
        assert find_absence(shared(rows), now=NOW) is find_absence(shared(order), now=NOW)

    @pytest.mark.parametrize("age", [timedelta(), -MICROSECOND, 7 * DAY + MICROSECOND])
    def test_is_never_asked_about_events_outside_of_the_window(self, age: timedelta) -> None:
        with pytest.raises(ValueError, match=r"^an emotional event lies outside the window$"):
            find_absence(shared([(age, "fear", 1.0, -1.0)] * 5), now=NOW)

    @pytest.mark.parametrize("age", [MICROSECOND, 7 * DAY])
    def test_is_asked_about_all_events_inside_of_it(self, age: timedelta) -> None:
        rows = [*steady_mood(0.5), (age, "fear", 1.0, -1.0)]
        assert find_absence(shared(rows), now=NOW) is None
