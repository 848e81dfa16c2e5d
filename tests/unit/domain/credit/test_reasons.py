from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.features import FEATURE_NAMES, FeatureVector, MonthlyFlows
from ecs.domain.credit.limit import CapName
from ecs.domain.credit.reason_code import ReasonCode
from ecs.domain.credit.reasons import Reason, cap_reason, card_reasons, find_lack
from ecs.domain.credit.scorecard import Direction, Scorecard
from tests.unit.domain.credit.people import (
    GOOD_FLOWS,
    Row,
    any_rows,
    evidence,
    known,
    shipped,
    vector,
)

CARD = shipped().scorecard
POLICY = shipped().policy


def costs(**of_features: int) -> tuple[Scorecard, dict[str, int]]:
    """The shipped card, and points that many below neutral for the named features."""
    points = {item.name: item.neutral - of_features.get(item.name, 0) for item in CARD.features}
    return CARD, points


def codes_of(**of_features: int) -> list[str]:
    card, points = costs(**of_features)
    return [item.code for item in card_reasons(card, points, known(vector()), locale="en")]


def reasons_of(features: FeatureVector) -> tuple[Reason, ...]:
    return card_reasons(CARD, CARD.points(features), known(features), locale="en")


class TestCardReasons:
    @pytest.mark.parametrize(
        ("of_features", "codes"),
        [
            pytest.param({}, [], id="nothing speaks against"),
            pytest.param({"fee_count": -5}, [], id="better than neutral is no reason"),
            pytest.param({"fee_count": 1}, ["R07"], id="one point is a reason"),
            pytest.param(
                {"fee_count": 3, "cash_share": 9, "debt_service": 5},
                ["R09", "R06", "R07"],
                id="the costliest first",
            ),
            pytest.param(
                {"tenure_months": 5, "gambling_share": 5, "income_30d": 5},
                ["R01", "R08", "R10"],
                id="ties by code",
            ),
            pytest.param(
                {"spend_to_income": 2, "spend_cv": 7, "spend_trend": 3, "fee_count": 5},
                ["R02", "R07"],
                id="features that share a code give one",
            ),
            pytest.param({"max_drawdown": 5, "debt_service": 4}, ["R05"], id="R05 larger than R06"),
            pytest.param({"max_drawdown": 4, "debt_service": 5}, ["R06"], id="R06 larger than R05"),
            pytest.param({"max_drawdown": 5, "debt_service": 5}, ["R05"], id="R05 as large as R06"),
            pytest.param(
                {"max_drawdown": 9, "debt_service": 8, "fee_count": 7, "cash_share": 6}
                | {"income_30d": 5, "tenure_months": 4},
                ["R05", "R07", "R09", "R01"],
                id="at most four, after merging",
            ),
        ],
    )
    def test_are_ordered_merged_and_cut(
        self, of_features: dict[str, int], codes: list[str]
    ) -> None:
        assert codes_of(**of_features) == codes

    @pytest.mark.parametrize(
        ("one", "other", "feature"),
        [
            ("spend_to_income", "spend_cv", "spend_to_income"),
            ("spend_cv", "spend_trend", "spend_cv"),
            ("n_inflows", "inflow_cv", "n_inflows"),
        ],
    )
    def test_name_the_first_feature_of_the_contract_among_equals(
        self, one: str, other: str, feature: str
    ) -> None:
        card, points = costs(**{one: 3, other: 3})
        [told] = card_reasons(card, points, known(vector()), locale="en")
        assert told.feature == feature

    @pytest.mark.parametrize(
        ("values", "code", "text"),
        [
            ({"debt_service": 0.1}, "R06", "Debt payments take 10 % of your income"),
            ({"debt_service": 2.0}, "R06", "Debt payments take 200 % or more of your income"),
            ({"spend_to_income": 0.954}, "R02", "Your spending is 95 % of your income"),
            ({"spend_cv": 3.5}, "R02", "Your daily spending varies by 350 % around its average"),
            (
                {"spend_trend": 0.4},
                "R02",
                "Your spending in the newer half of the period changed by 40 %",
            ),
            ({"income_30d": 7.0}, "R01", "Your income comes to 6000 a month"),
            ({"n_inflows": 0.0}, "R03", "You received 0 payments above 50"),
            (
                {"inflow_cv": 1.2},
                "R03",
                "Your incoming payments vary by 120 % around their average",
            ),
            ({"days_since_inflow": 22.0}, "R04", "Your last payment above 50 came 22 days ago"),
            ({"max_drawdown": 1.0}, "R05", "Your balance fell by 100 % of your income"),
            ({"fee_count": 1.0}, "R07", "You paid 1 fee or charge for a returned payment"),
            ({"fee_count": 4.0}, "R07", "You paid 4 fees or charges for returned payments"),
            ({"gambling_share": 0.0051}, "R08", "Gambling takes 1 % of your spending"),
            ({"cash_share": 0.5}, "R09", "Cash withdrawals take 50 % of your spending"),
            ({"tenure_months": 1.0}, "R10", "You have been with us for 1 month"),
            ({"tenure_months": 0.0}, "R10", "You have been with us for less than a month"),
        ],
    )
    def test_carry_the_own_value_in_plain_words(
        self, values: dict[str, float], code: str, text: str
    ) -> None:
        [told] = reasons_of(vector(**values))
        [feature] = values
        assert (told.code, told.text) == (code, text)
        assert (told.feature, told.value) == (feature, values[feature])

    def test_say_that_no_income_was_seen_at_all(self) -> None:
        told = reasons_of(vector(n_inflows=0.0, days_since_inflow=30.0))
        assert "No payment above 50 came in the last 30 days" in [item.text for item in told]

    def test_say_so_when_the_value_is_missing(self) -> None:
        strict = replace(CARD, features=tuple(replace(item, missing=-9) for item in CARD.features))
        features = vector(debt_service=None)
        [told] = card_reasons(strict, strict.points(features), known(features), locale="en")
        assert (told.code, told.value) == ("R06", None)
        assert told.text == "Your transactions do not say what they were for"

    @given(rows=any_rows())
    def test_are_at_most_four_different_codes_for_anybody(self, rows: list[Row]) -> None:
        person = evidence(rows)
        told = card_reasons(CARD, CARD.points(person.features), person, locale="en")
        codes = [item.code for item in told]
        assert len(codes) == len(set(codes)) <= 4
        assert not {ReasonCode.FALLING_BALANCE, ReasonCode.DEBT_PAYMENTS} <= set(codes)

    @given(name=st.sampled_from(FEATURE_NAMES), value=st.floats(0, 60))
    def test_never_speak_of_a_monotone_feature_at_its_best(self, name: str, value: float) -> None:
        feature = next(item for item in CARD.features if item.name == name)
        if feature.direction is not Direction.FREE and feature.points_for(value) == feature.best():
            assert all(item.feature != name for item in reasons_of(vector(**{name: value})))


class TestFindLack:
    @pytest.mark.parametrize(
        ("rows", "text"),
        [
            (0, "We see 0 transactions and need at least 10"),
            (1, "We see 1 transaction and need at least 10"),
            (9, "We see 9 transactions and need at least 10"),
        ],
    )
    def test_asks_for_ten_rows(self, rows: int, text: str) -> None:
        lack = find_lack(known(vector(), rows=rows), POLICY, locale="en")
        assert lack is not None
        assert (lack.reason.code, lack.reason.text) == ("R11", text)
        assert (lack.reason.feature, lack.reason.value) == (None, rows)
        assert lack.next_step == "Share at least 10 transactions of the last 30 days"

    def test_asks_for_income(self) -> None:
        poor = replace(known(vector()), monthly=replace(GOOD_FLOWS, inflow=0.0))
        lack = find_lack(poor, POLICY, locale="en")
        assert lack is not None
        assert (lack.reason.code, lack.reason.value) == ("R11", 0)
        assert lack.reason.text == "We see no money coming in"
        assert lack.next_step == "Share the account that your income is paid into"

    def test_is_content_with_ten_rows_and_a_cent(self) -> None:
        enough = replace(known(vector(), rows=10), monthly=replace(GOOD_FLOWS, inflow=0.01))
        assert find_lack(enough, POLICY, locale="en") is None


class TestCapReason:
    def test_of_income_names_the_income(self) -> None:
        told = cap_reason(CapName.INCOME, known(vector()), locale="en")
        assert told is not None
        assert (told.code, told.feature, told.value) == ("R01", "income_30d", 8.5)
        assert told.text == "Your income comes to 6000 a month"

    @pytest.mark.parametrize(
        ("essentials", "text", "value"),
        [
            (3300.0, "Debt payments and essentials leave 35 % of your income", 0.35),
            (9000.0, "Debt payments and essentials leave 0 % of your income", 0.0),
            (5399.0, "Debt payments and essentials leave less than 1 % of your income", 1 / 6000),
        ],
    )
    def test_of_affordability_names_what_is_left(
        self, essentials: float, text: str, value: float
    ) -> None:
        person = replace(known(vector()), monthly=replace(GOOD_FLOWS, essentials=essentials))
        told = cap_reason(CapName.AFFORDABILITY, person, locale="en")
        assert told is not None
        assert (told.code, told.text, told.feature) == ("R12", text, None)
        assert told.value == pytest.approx(value)

    def test_of_affordability_lets_income_below_one_count_as_one(self) -> None:
        poor = MonthlyFlows(inflow=1.0, outflow=0.0, debt_payments=0.0, essentials=0.25)
        for inflow, value in ((1.0, 0.75), (0.5, 0.25)):
            person = replace(known(vector()), monthly=replace(poor, inflow=inflow))
            told = cap_reason(CapName.AFFORDABILITY, person, locale="en")
            assert told is not None
            assert told.value == value

    def test_of_the_absolute_limit_says_nothing_about_a_person(self) -> None:
        assert cap_reason(CapName.ABSOLUTE, known(vector()), locale="en") is None
