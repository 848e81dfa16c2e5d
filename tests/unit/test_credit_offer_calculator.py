import json
import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.artefact import ArtefactError
from ecs.domain.credit.decision import ApplicationInputs, Decision, DecisionStatus
from ecs.domain.credit.policy import BaseLimit
from ecs.domain.credit.record import canonical_bytes, to_record
from ecs.domain.credit.scorecard import probability_of_default
from ecs.domain.money import Money
from ecs.domain.rate import quantised
from ecs.integrations.risk_model_file import RiskModel
from ecs.services.credit_service import CreditOfferCalculator
from tests.unit.domain.credit.people import (
    CONSENT,
    DAY,
    NOW,
    Row,
    any_rows,
    application,
    card_scoring,
    earning,
    good_month,
    shipped,
)

HIGH_RISK_SCORE, LOW_RISK_SCORE = 500, 569


def calculator(model: RiskModel | None = None) -> CreditOfferCalculator:
    made = model or shipped()
    return CreditOfferCalculator(scorecard=made.scorecard, policy=made.policy)


def decide(rows: list[Row], *, score: int | None = None, factor: float | None = None) -> Decision:
    model = shipped() if score is None else card_scoring(score)
    facts = application(rows)
    if factor is not None:
        facts = replace(facts, emotion=earning(factor))
    return calculator(model).calculate(facts)


def month(
    *, inflow: int, essentials: int = 0, debt: int = 0, other: int = 0, word: str = "other"
) -> list[Row]:
    """Twelve rows of a month, in units of the currency."""
    parts = [(inflow, "income"), (-essentials, "housing"), (-debt, "debt_payment"), (-other, word)]
    rows: list[Row] = [
        ((10 + index) * DAY, 100 * amount, category)
        for index, (amount, category) in enumerate(parts)
        if amount
    ]
    padding: list[Row] = [(day * DAY, -100, "dining") for day in range(1, 13 - len(rows))]
    return rows + padding


applications = st.builds(
    application,
    any_rows(at_least=10),
    user_created_at=st.timedeltas(0 * DAY, 2000 * DAY).map(lambda age: NOW - age),
)


class TestNumberExample:
    def test_is_reproduced_from_transactions_to_the_last_printed_digit(self) -> None:
        decision = decide(good_month(), score=569, factor=1.03)
        terms = decision.terms
        assert terms is not None
        assert decision.status is DecisionStatus.OFFERED
        assert (terms.credit_type, terms.tenor_months) == ("long_term", 36)
        assert (str(decision.credit_limit), str(terms.apr)) == ("4550.00", "0.153662")
        assert (terms.score, terms.risk_category) == (569, "low")
        assert str(quantised(terms.risk_score)) == "0.429460"
        assert str(quantised(terms.probability_of_default)) == "0.055323"
        assert str(Money.nearest(terms.final.base)) == "5359.29"
        assert str(terms.without_emotion.limit) == "4420.00"
        assert decision.emotion.information is not None
        assert decision.emotion.information.text.endswith("by 3 %")


class TestOffer:
    def test_goes_to_a_new_user_with_a_good_month(self) -> None:
        decision = decide(good_month())
        assert decision.status is DecisionStatus.OFFERED
        assert decision.assessment is not None
        assert 560 <= decision.assessment.score <= 640
        assert decision.next_steps == ()

    def test_is_dated_by_nothing_but_its_inputs(self) -> None:
        facts = application(good_month())
        assert calculator().calculate(facts) == calculator().calculate(facts)

    @pytest.mark.parametrize(
        ("score", "category", "kind", "tenor"),
        [
            (588, "very_low", "long_term", 36),
            (587, "low", "long_term", 36),
            (561, "medium", "short_term", 12),
            (528, "medium", "short_term", 12),
        ],
    )
    def test_runs_as_long_as_the_category_allows(
        self, score: int, category: str, kind: str, tenor: int
    ) -> None:
        terms = decide(good_month(), score=score).terms
        assert terms is not None
        assert (terms.risk_category, terms.credit_type, terms.tenor_months) == (
            category,
            kind,
            tenor,
        )


class TestShippedCard:
    @pytest.mark.parametrize(
        ("rows", "tenure", "category"),
        [
            pytest.param(good_month(), 1200, "very_low", id="good month, long known"),
            pytest.param(good_month(), 0, "low", id="good month, new"),
            pytest.param(
                month(inflow=3000, essentials=1500, debt=600, other=850),
                0,
                "medium",
                id="stretched",
            ),
            pytest.param(
                month(inflow=1500, essentials=1500, debt=600, other=900, word="gambling"),
                0,
                "high",
                id="over their head",
            ),
        ],
    )
    def test_reaches_every_category(self, rows: list[Row], tenure: int, category: str) -> None:
        facts = application(rows, user_created_at=NOW - tenure * DAY)
        assessment = calculator().calculate(facts).assessment
        assert assessment is not None
        assert assessment.risk_category == category


class TestDenial:
    def test_of_high_risk_tells_the_reasons_of_the_card(self) -> None:
        rows = month(inflow=1500, essentials=1500, debt=600, other=900, word="gambling")
        decision = decide(rows)
        assert decision.status is DecisionStatus.DENIED
        assert [reason.code for reason in decision.reasons] == ["R02", "R08", "R05", "R01"]
        assert decision.terms is None
        assert decision.credit_limit is None

    @pytest.mark.parametrize(
        ("score", "status"), [(528, DecisionStatus.OFFERED), (527, DecisionStatus.DENIED)]
    )
    def test_begins_at_twenty_per_cent(self, score: int, status: DecisionStatus) -> None:
        assert decide(good_month(), score=score).status is status

    @pytest.mark.parametrize(
        ("rows", "code"),
        [
            pytest.param(month(inflow=6000, essentials=5500, debt=490), "R12", id="affordability"),
            pytest.param(month(inflow=66), "R01", id="income"),
            pytest.param(month(inflow=50, essentials=100), "R12", id="the smaller of two"),
        ],
    )
    def test_of_a_small_limit_tells_the_smallest_cap_alone(
        self, rows: list[Row], code: str
    ) -> None:
        decision = decide(rows, score=LOW_RISK_SCORE)
        assert decision.status is DecisionStatus.DENIED
        assert [reason.code for reason in decision.reasons] == [code]

    def test_spares_a_limit_of_two_hundred(self) -> None:
        decision = decide(month(inflow=67), score=LOW_RISK_SCORE)
        assert str(decision.credit_limit) == "200.00"

    def test_of_a_small_limit_that_no_cap_explains_tells_the_card(self) -> None:
        model = card_scoring(528)
        tiny = replace(model.policy, base_limit=BaseLimit(amount=5000.0, decay=5.2))
        decision = calculator(replace(model, policy=tiny)).calculate(application(good_month()))
        assert decision.status is DecisionStatus.DENIED
        assert len(decision.reasons) == 4

    def test_of_high_risk_tells_the_card_even_when_a_cap_bound(self) -> None:
        decision = decide(month(inflow=66), score=HIGH_RISK_SCORE)
        assert len(decision.reasons) == 4

    @given(facts=applications)
    def test_always_has_one_to_four_reasons(self, facts: ApplicationInputs) -> None:
        decision = calculator().calculate(facts)
        fewest = 0 if decision.status is DecisionStatus.OFFERED else 1
        assert fewest <= len(decision.reasons) <= 4


class TestReferral:
    @pytest.mark.parametrize(
        "rows",
        [
            pytest.param([], id="nothing"),
            pytest.param(good_month()[:9], id="nine rows"),
            pytest.param([row for row in good_month() if row[1] < 0], id="no inflow"),
        ],
    )
    def test_never_guesses(self, rows: list[Row]) -> None:
        decision = decide(rows, factor=1.05)
        assert decision.status is DecisionStatus.REFERRED
        assert decision.assessment is None
        assert decision.credit_limit is None
        assert [reason.code for reason in decision.reasons] == ["R11"]
        assert len(decision.next_steps) == 1
        assert not decision.emotion.used

    def test_ends_at_ten_rows(self) -> None:
        assert decide(good_month()[:10]).status is not DecisionStatus.REFERRED


class TestRecord:
    @given(facts=applications, factor=st.floats(1, 1.1))
    def test_replays_to_the_same_bytes(self, facts: ApplicationInputs, factor: float) -> None:
        moody = replace(facts, emotion=earning(factor))
        recorded = canonical_bytes(calculator().calculate(moody))
        assert canonical_bytes(calculator().calculate(moody)) == recorded
        assert (
            json.dumps(json.loads(recorded), sort_keys=True, separators=(",", ":")).encode()
            == recorded
        )

    @given(rows=any_rows(at_least=10), data=st.data())
    def test_does_not_depend_on_the_order_of_the_rows(
        self, rows: list[Row], data: st.DataObject
    ) -> None:
        facts = application(rows)
        order = data.draw(st.permutations(range(len(rows))))
        columns = facts.history
        shuffled = replace(
            columns,
            ids=tuple(columns.ids[index] for index in order),
            occurred_at=tuple(columns.occurred_at[index] for index in order),
            amounts_minor=tuple(columns.amounts_minor[index] for index in order),
            categories=tuple(columns.categories[index] for index in order),
        )
        decisions = [
            calculator().calculate(item) for item in (facts, replace(facts, history=shuffled))
        ]
        assert canonical_bytes(decisions[0]) == canonical_bytes(decisions[1])

    def test_holds_everything_a_replay_needs(self) -> None:
        facts = replace(
            application(good_month(), user_created_at=NOW - timedelta(days=400)),
            emotion=earning(1.03),
        )
        model = shipped()
        record = to_record(calculator().calculate(facts))
        assert record["status"] == "offered"
        assert record["feature_contract"] == "feat/1"
        assert record["model"] == {
            "id": "ecs-fin",
            "version": "0.1.0",
            "sha256": model.policy.model.sha256,
        }
        assert record["policy"]["sha256"] == model.policy.reference.sha256
        assert record["inputs"] == {
            "now": "2026-03-31T12:00:00.000000+00:00",
            "window_days": 30,
            "user_created_at": "2025-02-24T12:00:00.000000+00:00",
            "transaction_ids": [str(row_id) for row_id in sorted(facts.history.ids)],
            "sha256": facts.history.sha256(),
        }
        assert record["monthly"]["essentials"] == 3300
        assert record["features"]["tenure_months"] == 13
        assert record["emotion"]["consent_ids"] == [str(CONSENT)]
        assert record["emotion"]["information"]["code"] == "E01"

    def test_holds_every_step_of_both_twins(self) -> None:
        decision = decide(good_month(), score=569, factor=1.03)
        assessment = to_record(decision)["assessment"]
        assert assessment["probability_of_default"] == probability_of_default(569)
        without, final = assessment["without_emotion"], assessment["final"]
        assert (without["limit"], final["limit"]) == ("4420.00", "4550.00")
        assert without["multipliers"]["emotional_trend"] == 1
        assert final["multipliers"]["emotional_trend"] == pytest.approx(1.03, rel=1e-14)
        for twin in (without, final):
            factors = twin["multipliers"].values()
            assert math.prod((twin["base"], *factors)) == pytest.approx(twin["uncapped"])
            assert twin["caps"]["income"] == 18_000
            assert twin["caps_bound"] == []

    def test_of_a_referral_has_no_assessment_but_its_features(self) -> None:
        record = to_record(decide([]))
        assert record["assessment"] is None
        assert record["features"]["debt_service"] is None
        assert record["reasons"][0]["code"] == "R11"
        assert record["emotion"]["absent_reason"] == "no_consent"
        assert record["emotion"]["information"] is None


class TestFit:
    def test_refuses_a_card_that_the_policy_does_not_name(self) -> None:
        with pytest.raises(ArtefactError, match=r"^the policy is not made for this scorecard$"):
            calculator(replace(card_scoring(569), policy=shipped().policy))

    def test_refuses_a_pair_that_would_deny_without_a_reason(self) -> None:
        model = card_scoring(0)
        poor = replace(
            model.scorecard,
            features=tuple(replace(item, neutral=0) for item in model.scorecard.features),
        )
        with pytest.raises(
            ArtefactError, match=r"^a person against whom nothing speaks would be denied$"
        ):
            calculator(replace(model, scorecard=poor))

    def test_refuses_a_pair_whose_least_limit_is_too_small(self) -> None:
        model = card_scoring(569)
        # The neutral person of this card is without risk: 0.9 x 1.2 of the amount is the least.
        amount = 200 / (0.9 * 1.2)
        fits = replace(model.policy, base_limit=BaseLimit(amount=amount, decay=5.2))
        small = replace(model.policy, base_limit=BaseLimit(amount=amount - 0.01, decay=5.2))
        assert calculator(replace(model, policy=fits)).policy == fits
        with pytest.raises(ArtefactError, match=r"nothing speaks would get too small a limit$"):
            calculator(replace(model, policy=small))
