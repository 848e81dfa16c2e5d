"""People for the tests of a decision: named ones, and any at all."""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from ecs.domain.affect import Emotion
from ecs.domain.credit.artefact import ArtefactReference
from ecs.domain.credit.decision import ApplicationInputs
from ecs.domain.credit.emotional_history import EmotionalFacts, EmotionalHistory
from ecs.domain.credit.features import Evidence, FeatureVector, MonthlyFlows, gather_evidence
from ecs.domain.credit.history import Category, TransactionHistory
from ecs.domain.credit.scorecard import Scorecard
from ecs.integrations.risk_model_file import RiskModel, load_risk_model

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
MOOD_DAYS = 7
CONSENT, DEVICE = UUID(int=7), UUID(int=8)
NO_CONSENT = EmotionalFacts(consent_ids=(), history=EmotionalHistory(), window_days=MOOD_DAYS)

# How long before NOW, signed cents, category.
Row = tuple[timedelta, int, str | None]
# How long before NOW, emotion, confidence, valence.
MoodRow = tuple[timedelta, str, float, float]


@cache
def shipped() -> RiskModel:
    return load_risk_model()


def history(rows: Iterable[Row]) -> TransactionHistory:
    listed = list(rows)
    return TransactionHistory(
        ids=tuple(UUID(int=index + 1) for index in range(len(listed))),
        occurred_at=tuple(NOW - age for age, _, _ in listed),
        amounts_minor=tuple(amount for _, amount, _ in listed),
        categories=tuple(category for _, _, category in listed),
    )


def evidence(rows: Iterable[Row], *, days: int = 30, tenure: timedelta = 0 * DAY) -> Evidence:
    return gather_evidence(history(rows), now=NOW, window_days=days, user_created_at=NOW - tenure)


def application(rows: Iterable[Row], **changes: Any) -> ApplicationInputs:
    plain = ApplicationInputs(
        history=history(rows), now=NOW, user_created_at=NOW, window_days=30, emotion=NO_CONSENT
    )
    return replace(plain, **changes)


def moods(rows: Iterable[MoodRow]) -> EmotionalHistory:
    listed = list(rows)
    return EmotionalHistory(
        event_ids=tuple(UUID(int=index + 1) for index in range(len(listed))),
        client_ids=(DEVICE,) * len(listed),
        captured_at=tuple(NOW - age for age, *_ in listed),
        emotions=tuple(emotion for _, emotion, _, _ in listed),
        confidences=tuple(confidence for _, _, confidence, _ in listed),
        valences=tuple(valence for *_, valence in listed),
    )


def shared(rows: Iterable[MoodRow], *, days: int = MOOD_DAYS) -> EmotionalFacts:
    """What a person has shared who consented."""
    return EmotionalFacts(consent_ids=(CONSENT,), history=moods(rows), window_days=days)


def steady_mood(valence: float, *, events: int = 31) -> list[MoodRow]:
    """The same mood every hour."""
    return [(hour * HOUR, Emotion.SURPRISE, 1.0, valence) for hour in range(1, events + 1)]


def earning(factor: float) -> EmotionalFacts:
    """A stream that earns the factor by the shipped policy, but for the last bits of it."""
    rules = shipped().policy.emotion
    pull = math.log(factor) / rules.sensitivity
    valence = pull / rules.valence_weight / (31 / (31 + 8))
    if valence <= 1:
        return shared(steady_mood(valence))
    # The trend gives all that it can, and the level the rest.
    level = (pull - rules.trend_weight) / rules.valence_weight / (400 / (400 + 8))
    return shared(
        (HOUR + HOUR * index / 400, Emotion.SURPRISE, 1.0, level + 0.01 - 0.02 * index / 399)
        for index in range(400)
    )


def good_month() -> list[Row]:
    """60 rows: inflow 6000, outflow 4800, debt 600, essentials 3300."""
    salary: list[Row] = [(10 * DAY, 600_000, Category.INCOME)]
    rent: list[Row] = [(9 * DAY, -150_000, Category.HOUSING)]
    loan: list[Row] = [(8 * DAY, -60_000, Category.DEBT_PAYMENT)]
    # 1800 of groceries in 27 rows, one of which is larger by the remainder; 900 of dining in 30.
    groceries: list[Row] = [(day * DAY, -6_666, Category.GROCERIES) for day in range(1, 27)]
    last: list[Row] = [(27 * DAY, -6_684, Category.GROCERIES)]
    dining: list[Row] = [(day * DAY, -3_000, Category.DINING) for day in range(1, 31)]
    return [*salary, *rent, *loan, *groceries, *last, *dining]


def card_scoring(score: int) -> RiskModel:
    """A card that gives everybody the same score, with the policy registered for it."""
    model = shipped()
    reference = ArtefactReference(id="flat", version="1", sha256="0" * 64)
    flat = Scorecard(
        reference=reference,
        provenance="test",
        base=score,
        features=tuple(
            replace(
                feature,
                points=(0,) * len(feature.points),
                missing=0,
                # So high that everybody has reasons, and the neutral person is eligible.
                neutral=60,
            )
            for feature in model.scorecard.features
        ),
    )
    return RiskModel(scorecard=flat, policy=replace(model.policy, model=reference))


def vector(**values: float | None) -> FeatureVector:
    """A person against whom no feature of the shipped card speaks, but for ``values``."""
    plain = FeatureVector(
        income_30d=8.5,
        spend_to_income=0.8,
        n_inflows=1.0,
        inflow_cv=0.0,
        days_since_inflow=0.0,
        spend_cv=2.0,
        spend_trend=0.0,
        max_drawdown=0.5,
        debt_service=0.0,
        fee_count=0.0,
        gambling_share=0.0,
        cash_share=0.0,
        tenure_months=12.0,
    )
    return replace(plain, **values)  # type: ignore[arg-type]  # only some may be None


def known(features: FeatureVector, *, rows: int = 60, days: int = 30) -> Evidence:
    return Evidence(rows=rows, window_days=days, monthly=GOOD_FLOWS, features=features)


GOOD_FLOWS = MonthlyFlows(inflow=6000.0, outflow=4800.0, debt_payments=600.0, essentials=3300.0)


def any_rows(
    *, days: int = 30, at_least: int = 0, at_most: int = 40
) -> st.SearchStrategy[list[Row]]:
    row = st.tuples(
        st.timedeltas(min_value=timedelta(microseconds=1), max_value=days * DAY),
        st.integers(-1_000_000, 1_500_000).filter(bool),
        st.sampled_from([None, *Category]).map(lambda word: word and word.value),
    )
    return st.lists(row, min_size=at_least, max_size=at_most)


def any_flows() -> st.SearchStrategy[MonthlyFlows]:
    amount = st.floats(0, 60_000)
    return st.builds(
        MonthlyFlows,
        inflow=st.floats(0.01, 60_000),
        outflow=amount,
        debt_payments=amount,
        essentials=amount,
    )


def any_confidence() -> st.SearchStrategy[float]:
    """Ordinary ones, and the smallest that a float can hold."""
    return st.one_of(
        st.floats(0.01, 1),
        st.floats(0, 1, exclude_min=True, allow_subnormal=True),
        st.floats(0, 1e-300, exclude_min=True, allow_subnormal=True),
        st.sampled_from([1.0, 5e-324]),
    )


def any_moods(
    *, at_least: int = 0, at_most: int = 40, days: int = MOOD_DAYS
) -> st.SearchStrategy[list[MoodRow]]:
    """Any stream inside of the window; many of its moments are the same, or nearly so."""
    row = st.tuples(
        st.one_of(
            st.timedeltas(MICROSECOND, days * DAY),
            st.integers(1, 5).map(lambda count: count * MICROSECOND),
            st.sampled_from([HOUR, days * DAY]),
        ),
        st.sampled_from([emotion.value for emotion in Emotion]),
        any_confidence(),
        st.floats(-1, 1),
    )
    return st.lists(row, min_size=at_least, max_size=at_most)
