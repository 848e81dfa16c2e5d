"""Emotion can only help: the laws of the twin decision, over named people and ten thousand."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.decision import ApplicationInputs, Decision, DecisionStatus
from ecs.domain.credit.emotion import effect_of
from ecs.domain.credit.emotion_features import AbsentReason, EmotionFeatures
from ecs.domain.credit.emotional_history import EmotionalFacts
from ecs.domain.credit.limit import limit_with_emotion
from ecs.domain.credit.policy import EmotionMode
from ecs.domain.credit.record import canonical_bytes, to_record
from ecs.domain.money import Money
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
from tests.unit.domain.credit.test_emotional_history import reordered

MODEL = shipped()
CALCULATOR = CreditOfferCalculator(scorecard=MODEL.scorecard, policy=MODEL.policy)
OFF = replace(
    CALCULATOR,
    policy=replace(MODEL.policy, emotion=replace(MODEL.policy.emotion, mode=EmotionMode.OFF)),
)
ABSENT: dict[AbsentReason, EmotionalFacts] = {
    AbsentReason.NO_CONSENT: NO_CONSENT,
    AbsentReason.TOO_FEW: shared(steady_mood(1.0, events=4)),
    AbsentReason.STALE: shared([(100 * HOUR, "happiness", 1.0, 1.0)] * 9),
    AbsentReason.INCONSISTENT: shared([(HOUR, "sadness", 1.0, 1.0)] * 9),
}
EMOTIONS = ("happiness", "sadness", "fear", "anger", "surprise", "disgust")
applications = st.builds(
    application,
    any_rows(at_least=10),
    user_created_at=st.timedeltas(0 * DAY, 2000 * DAY).map(lambda age: NOW - age),
)


def decide(facts: ApplicationInputs, emotion: EmotionalFacts = NO_CONSENT) -> Decision:
    return CALCULATOR.calculate(replace(facts, emotion=emotion))


def baseline_bytes(decision: Decision) -> bytes:
    """The record without its ``emotion`` block."""
    record = to_record(decision)
    del record["emotion"]
    return json.dumps(record, sort_keys=True).encode()


def without_final_twin(decision: Decision) -> dict[str, Any]:
    """The record without all that emotion may touch."""
    record = to_record(decision)
    del record["emotion"]
    if record["assessment"]:
        del record["assessment"]["final"]
    return record


def assert_laws(silent: Decision, moody: Decision) -> None:
    """Fail unless emotion has moved the limit alone, up, and by at most a tenth."""
    assert without_final_twin(moody) == without_final_twin(silent)
    assert all(reason.code.startswith("R") for reason in moody.reasons)
    if moody.assessment is None:
        assert not moody.emotion.used
        return
    without, final = moody.assessment.without_emotion.limit, moody.assessment.final.limit
    assert without <= final <= Money(without.cents * 11 // 10)
    told = moody.emotion.information
    assert (told is not None) == (moody.status is DecisionStatus.OFFERED and final > without)
    if moody.emotion.signal.absent_reason:
        assert baseline_bytes(moody) == baseline_bytes(silent)


class TestLaws:
    @given(facts=applications, rows=any_moods())
    def test_hold_for_any_month_and_any_stream(
        self, facts: ApplicationInputs, rows: list[MoodRow]
    ) -> None:
        assert_laws(decide(facts), decide(facts, shared(rows)))

    @given(facts=applications, factor=st.floats(1, 1.1))
    def test_hold_for_every_factor(self, facts: ApplicationInputs, factor: float) -> None:
        assert_laws(decide(facts), decide(facts, earning(factor)))

    @given(facts=applications, rows=any_moods(at_least=5), data=st.data())
    def test_no_byte_depends_on_the_order_of_the_events(
        self, facts: ApplicationInputs, rows: list[MoodRow], data: st.DataObject
    ) -> None:
        straight = shared(rows)
        order = data.draw(st.permutations(range(len(rows))))
        shuffled = replace(straight, history=reordered(straight.history, order))
        assert canonical_bytes(decide(facts, shuffled)) == canonical_bytes(decide(facts, straight))

    @pytest.mark.parametrize("reason", ABSENT)
    @given(facts=applications)
    def test_absence_leaves_the_baseline_to_the_byte(
        self, reason: AbsentReason, facts: ApplicationInputs
    ) -> None:
        decision = decide(facts, ABSENT[reason])
        assert decision.emotion.signal.absent_reason is reason
        assert baseline_bytes(decision) == baseline_bytes(decide(facts))

    @given(facts=applications, rows=any_moods(), read=st.booleans())
    def test_a_policy_that_says_off_does_not_look(
        self, facts: ApplicationInputs, rows: list[MoodRow], *, read: bool
    ) -> None:
        decision = OFF.calculate(replace(facts, emotion=shared(rows) if read else None))
        assert baseline_bytes(decision) == baseline_bytes(decide(facts))
        block = to_record(decision)["emotion"]
        assert (block["absent_reason"], block["events"], block["consent_ids"]) == ("off", 0, [])
        assert (block["features"], block["block"], block["inputs"]) == (None, None, None)


class TestThreePeople:
    """The same finances; one is cheerful, one sad, one shares nothing."""

    @pytest.fixture
    def decisions(self) -> tuple[Decision, Decision, Decision]:
        facts = application(good_month())
        cheerful = [(hour * HOUR, "happiness", 0.9, 0.7) for hour in range(1, 40)]
        sad = [(hour * HOUR, "sadness", 0.9, -0.7) for hour in range(1, 40)]
        return decide(facts, shared(cheerful)), decide(facts, shared(sad)), decide(facts)

    def test_differ_in_the_limit_alone(
        self, decisions: tuple[Decision, Decision, Decision]
    ) -> None:
        cheerful, sad, silent = decisions
        assert without_final_twin(cheerful) == without_final_twin(sad) == without_final_twin(silent)
        limits = [decision.credit_limit for decision in decisions]
        assert limits[0] is not None
        assert limits[1] is not None
        assert limits[0] > limits[1] == limits[2]

    def test_are_told_why(self, decisions: tuple[Decision, Decision, Decision]) -> None:
        cheerful, sad, silent = decisions
        assert cheerful.emotion.information is not None
        assert cheerful.emotion.information.code == "E01"
        assert sad.emotion.used
        assert sad.emotion.information is None
        assert silent.emotion.signal.absent_reason is AbsentReason.NO_CONSENT


class TestRecord:
    def test_replays_the_limit_when_the_raw_events_are_gone(self) -> None:
        decision = decide(application(good_month()), earning(1.04))
        assert decision.assessment is not None
        stored = json.loads(canonical_bytes(decision))
        features = EmotionFeatures(**stored["emotion"]["features"])
        effect = effect_of(features, MODEL.policy.emotion)
        assert (effect.block, effect.factor) == (
            stored["emotion"]["block"],
            stored["emotion"]["factor"],
        )
        final = limit_with_emotion(
            decision.assessment.without_emotion, MODEL.policy, factor=effect.factor
        )
        assert final == decision.assessment.final

    def test_holds_the_emotional_inputs(self) -> None:
        facts = earning(1.03)
        block = to_record(decide(application(good_month()), facts))["emotion"]
        assert block["inputs"] == {
            "window_days": 7,
            "event_ids": [str(event_id) for event_id, _ in facts.history.sorted_keys()],
            "client_ids": [str(client_id) for _, client_id in facts.history.sorted_keys()],
            "sha256": facts.history.sha256(),
        }

    def test_of_a_referral_holds_what_the_stream_said(self) -> None:
        block = to_record(decide(application([]), earning(1.04)))["emotion"]
        assert (block["used"], block["factor"], block["events"]) == (False, 1, 31)
        assert block["features"]["emo_valence"] > 0


class TestBounds:
    def test_a_limit_that_is_too_small_is_not_rescued(self) -> None:
        rows: list[Row] = [(10 * DAY, 6_600, "income")]
        rows += [(day * DAY, -100, "dining") for day in range(1, 12)]
        decision = decide(application(rows), earning(1.1))
        assert decision.status is DecisionStatus.DENIED

    def test_whoever_is_denied_is_told_nothing_of_a_rise(self) -> None:
        rows: list[Row] = [(10 * DAY, 600_000, "income")]
        rows += [(day * DAY, -60_000, "gambling") for day in range(1, 12)]
        decision = decide(application(rows), earning(1.1))
        assert decision.status is DecisionStatus.DENIED
        assert decision.emotion.information is None


class TestTenThousandPeople:
    @pytest.mark.parametrize("seed", range(4))
    def test_keep_every_law(self, seed: int) -> None:
        random = Random(seed)
        seen: Counter[str] = Counter()
        for _ in range(2_500):
            facts, emotion = a_person(random), a_stream(random)
            silent, moody = decide(facts), decide(facts, emotion)
            assert_laws(silent, moody)
            order = random.sample(range(len(emotion.history)), len(emotion.history))
            shuffled = replace(emotion, history=reordered(emotion.history, order))
            assert canonical_bytes(decide(facts, shuffled)) == canonical_bytes(moody)
            seen[moody.status] += 1
            seen[moody.emotion.signal.absent_reason or "present"] += 1
            seen["rise"] += moody.emotion.information is not None
        rare = [word for word in (*DecisionStatus, *ABSENT, "present", "rise") if seen[word] < 50]
        assert not rare, seen


def a_person(random: Random) -> ApplicationInputs:
    """Somebody with an income, or two, and expenses somewhat below or above it."""
    income = random.choice([0, 200_000, 600_000, 1_500_000])
    salaries = random.choice([1, 1, 2]) if income else 0
    rows: list[Row] = [(_age(random), income, "income") for _ in range(salaries)]
    words = [None, "groceries", "housing", "dining", "debt_payment", "fee", "gambling", "cash"]
    for _ in range(random.randrange(40)):
        amount = -1 - int(random.expovariate(20 / max(income, 10_000)))
        rows.append((_age(random), amount, random.choice(words)))
    return application(rows, user_created_at=NOW - random.uniform(0, 2000) * DAY)


def a_stream(random: Random) -> EmotionalFacts:
    """Somebody's week: a level, a drift and noise, by a sensor that is more or less sure."""
    if random.random() < 0.1:
        return NO_CONSENT
    level, drift, noise = random.uniform(-1, 1), random.uniform(-0.3, 0.3), random.uniform(0, 0.5)
    newest = random.choice([0, 0, 0, 100])
    honest = random.random() < 0.7
    rows: list[MoodRow] = []
    for _ in range(random.randrange(60)):
        hours = random.uniform(newest + 0.001, 168)
        valence = min(max(random.gauss(level - drift * hours / 24, noise), -1), 1)
        fitting = "happiness" if valence > 0 else "sadness"
        emotion = fitting if honest else random.choice(EMOTIONS)
        confidence = random.choice([random.uniform(0.3, 1), 1.0, random.random() ** 500 or 5e-324])
        rows.append((timedelta(hours=hours), emotion, confidence, valence))
    return shared(rows)


def _age(random: Random) -> timedelta:
    return timedelta(seconds=random.uniform(1, 30 * 86_400))
