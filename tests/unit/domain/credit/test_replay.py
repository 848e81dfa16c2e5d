"""A decision, decided again from its record."""

import json
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.decision import ApplicationInputs
from ecs.domain.credit.emotional_history import EmotionalFacts, EmotionalHistory
from ecs.domain.credit.policy import EmotionMode
from ecs.domain.credit.record import to_record
from ecs.domain.credit.replay import MoodSource, RecordedDecision, Replay, Verdict, replay
from ecs.services.credit_service import CreditOfferCalculator
from tests.unit.domain.credit.people import (
    DAY,
    HOUR,
    NO_CONSENT,
    NOW,
    MoodRow,
    Row,
    any_moods,
    any_rows,
    application,
    earning,
    good_month,
    shared,
    shipped,
    steady_mood,
)

CALCULATOR: Final = CreditOfferCalculator(scorecard=shipped().scorecard, policy=shipped().policy)
RULES: Final = CALCULATOR.policy.emotion
OFF: Final = replace(
    CALCULATOR,
    policy=replace(CALCULATOR.policy, emotion=replace(RULES, mode=EmotionMode.OFF)),
)


def recorded(
    facts: ApplicationInputs, *, by: CreditOfferCalculator = CALCULATOR
) -> RecordedDecision:
    """The decision as a database gives it back, with all facts that it was made from."""
    record = json.loads(json.dumps(to_record(by.calculate(facts))))
    return RecordedDecision(
        assessment_id=UUID(int=1),
        request_id="a-request",
        record=record,
        history=facts.history,
        emotional_history=facts.emotion.history if facts.emotion else EmotionalHistory(),
    )


def replayed(found: RecordedDecision, *, by: CreditOfferCalculator = CALCULATOR) -> Replay:
    return replay(found, decide=by.decide, policy=by.policy)


def changed(found: RecordedDecision, *path: str, value: Any) -> RecordedDecision:
    """The same with another value somewhere in its record."""
    record = json.loads(json.dumps(found.record))
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return replace(found, record=record)


def of_good_month(mood: EmotionalFacts | None = NO_CONSENT) -> ApplicationInputs:
    return application(good_month(), user_created_at=NOW - 400 * DAY, emotion=mood)


class TestReplay:
    @given(rows=any_rows(), mood=any_moods())
    def test_gives_the_same_bytes(self, rows: list[Row], mood: list[MoodRow]) -> None:
        found = recorded(application(rows, emotion=shared(mood)))
        assert replayed(found) == Replay(
            recorded=found, verdict=Verdict.IDENTICAL, mood_source=MoodSource.EVENTS
        )

    @given(factor=st.floats(1, 1.1))
    def test_takes_the_stored_features_when_the_events_are_gone(self, factor: float) -> None:
        found = recorded(of_good_month(earning(factor)))
        for left in (EmotionalHistory(), shared(steady_mood(0.3)).history):
            again = replayed(replace(found, emotional_history=left))
            assert again.verdict is Verdict.IDENTICAL
            assert again.mood_source is MoodSource.STORED_FEATURES

    @pytest.mark.parametrize(
        "mood",
        [
            pytest.param(shared(steady_mood(1.0, events=4)), id="too few"),
            pytest.param(shared([(100 * HOUR, "happiness", 1.0, 1.0)] * 9), id="stale"),
            pytest.param(shared([(HOUR, "sadness", 1.0, 1.0)] * 9), id="inconsistent"),
        ],
    )
    def test_takes_the_stored_absence_when_the_events_are_gone(self, mood: EmotionalFacts) -> None:
        found = recorded(of_good_month(mood))
        again = replayed(replace(found, emotional_history=EmotionalHistory()))
        assert again.verdict is Verdict.IDENTICAL
        assert again.mood_source is MoodSource.STORED_FEATURES

    def test_looks_at_no_mood_where_the_policy_forbade_it(self) -> None:
        again = replayed(recorded(of_good_month(None), by=OFF), by=OFF)
        assert (again.verdict, again.mood_source) == (Verdict.IDENTICAL, MoodSource.NOTHING)

    def test_misses_facts_that_are_gone(self) -> None:
        found = recorded(of_good_month())
        fewer = application(good_month()[1:]).history
        assert replayed(replace(found, history=fewer)).verdict is Verdict.FACTS_GONE

    def test_leaves_the_decisions_of_another_policy_to_its_own_release(self) -> None:
        found = recorded(of_good_month())
        other = changed(found, "policy", "sha256", value="0" * 64)
        assert replayed(other).verdict is Verdict.OTHER_MODEL

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("assessment", "score"), 999),
            (("assessment", "final", "limit"), "999999.00"),
            (("inputs", "user_created_at"), "2001-01-01T00:00:00.000000+00:00"),
            (("inputs", "window_days"), 31),
            (("emotion", "factor"), 1.1),
        ],
    )
    @pytest.mark.parametrize("kept", [True, False], ids=["by events", "by stored features"])
    def test_finds_a_record_that_was_tampered_with(
        self, *, path: tuple[str, ...], value: Any, kept: bool
    ) -> None:
        found = recorded(of_good_month(earning(1.03)))
        left = found.emotional_history if kept else EmotionalHistory()
        tampered = changed(replace(found, emotional_history=left), *path, value=value)
        assert replayed(tampered).verdict is Verdict.DIFFERENT
