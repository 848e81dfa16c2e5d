import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.features import Evidence, MonthlyFlows
from ecs.domain.credit.limit import (
    CapName,
    LimitTwin,
    affordable_principal,
    limit_with_emotion,
    limit_without_emotion,
)
from ecs.domain.credit.policy import Policy
from ecs.domain.credit.scorecard import probability_of_default
from ecs.domain.money import Money
from ecs.domain.rate import quantised
from tests.unit.domain.credit.people import GOOD_FLOWS, any_flows, known, shipped, vector

POLICY = shipped().policy


def baseline(score: int, evidence: Evidence, policy: Policy = POLICY) -> LimitTwin:
    probability = probability_of_default(score)
    risk = policy.risk_score(probability)
    return limit_without_emotion(
        evidence,
        policy,
        risk=risk,
        apr=policy.apr.at(risk),
        tenor_months=policy.band(probability).tenor_months,
    )


def of_flows(monthly: MonthlyFlows, *, rows: int = 60) -> Evidence:
    return replace(known(vector(), rows=rows), monthly=monthly)


any_evidence = st.builds(of_flows, any_flows(), rows=st.integers(10, 1000))
scores = st.integers(230, 640)
factors = st.floats(1, 1.1)


class TestNumberExample:
    """Score 569, inflow 6000, outflow 4800, 60 rows, debt 600, essentials 3300, factor 1.03."""

    def test_is_reproduced_to_the_last_printed_digit(self) -> None:
        without = baseline(569, of_flows(GOOD_FLOWS))
        final = limit_with_emotion(without, POLICY, factor=1.03)
        assert str(Money.nearest(without.base)) == "5359.29"
        assert str(quantised(final.multipliers.daily_spend)) == "1.000247"
        assert str(quantised(final.multipliers.transaction_frequency)) == "0.957576"
        assert str(quantised(final.multipliers.risk)) == "0.862758"
        assert str(quantised(final.multipliers.emotional_trend)) == "1.030000"
        assert final.caps_bound == ()
        assert str(without.limit) == "4420.00"
        assert str(final.limit) == "4550.00"

    def test_has_caps_that_can_be_recomputed(self) -> None:
        caps = baseline(569, of_flows(GOOD_FLOWS)).caps
        monthly = 0.153662 / 12
        principal = 0.3 * 2100 * (1 - (1 + monthly) ** -36) / monthly
        assert (caps.absolute, caps.income) == (50_000, 18_000)
        assert caps.affordability == pytest.approx(principal)


class TestCaps:
    @pytest.mark.parametrize(
        ("flows", "bound", "limit"),
        [
            pytest.param({"inflow": 300.0}, ("income", "affordability"), "0.00", id="debts first"),
            pytest.param(
                {"inflow": 1200.0, "debt_payments": 0.0, "essentials": 0.0},
                ("income",),
                "3600.00",
                id="income",
            ),
            pytest.param({"essentials": 5_400.0}, ("affordability",), "0.00", id="nothing left"),
            pytest.param({"essentials": 6_000.0}, ("affordability",), "0.00", id="less than that"),
        ],
    )
    def test_hold_the_limit(
        self, flows: dict[str, float], bound: tuple[str, ...], limit: str
    ) -> None:
        twin = baseline(569, of_flows(replace(GOOD_FLOWS, **flows)))
        assert twin.caps_bound == bound
        assert str(twin.limit) == limit

    def test_do_not_bind_a_limit_that_just_fits(self) -> None:
        uncapped = baseline(569, of_flows(GOOD_FLOWS)).uncapped
        snug = replace(POLICY, caps=replace(POLICY.caps, absolute=uncapped))
        tight = replace(POLICY, caps=replace(POLICY.caps, absolute=math.nextafter(uncapped, 0)))
        assert baseline(569, of_flows(GOOD_FLOWS), snug).caps_bound == ()
        assert baseline(569, of_flows(GOOD_FLOWS), tight).caps_bound == (CapName.ABSOLUTE,)

    def test_hold_the_absolute_limit(self) -> None:
        rich = MonthlyFlows(inflow=9e5, outflow=5e5, debt_payments=0.0, essentials=0.0)
        twin = baseline(900, of_flows(rich, rows=1000))
        assert twin.caps_bound == (CapName.ABSOLUTE,)
        assert twin.limit == Money(50_000_00)

    @given(score=scores, evidence=any_evidence, factor=factors)
    def test_are_never_exceeded_and_all_named(
        self, score: int, evidence: Evidence, factor: float
    ) -> None:
        without = baseline(score, evidence)
        for twin in (without, limit_with_emotion(without, POLICY, factor=factor)):
            caps = twin.caps.as_mapping()
            assert twin.limit.amount <= min(caps.values()) + 0.005
            assert set(twin.caps_bound) == {
                name for name, cap in caps.items() if cap < twin.uncapped
            }

    @pytest.mark.parametrize("tenor", [12, 36])
    def test_of_affordability_is_what_the_instalments_repay(self, tenor: int) -> None:
        debt = affordable_principal(100.0, apr=Decimal("0.12"), tenor_months=tenor)
        for _ in range(tenor):
            debt = debt * 1.01 - 100.0
        assert debt == pytest.approx(0, abs=1e-8)

    def test_name_the_smallest(self) -> None:
        assert baseline(569, of_flows(GOOD_FLOWS)).caps.smallest() is CapName.INCOME


class TestDailySpend:
    def test_counts_only_what_income_covers(self) -> None:
        spender = replace(GOOD_FLOWS, outflow=60_000.0)
        saver = replace(GOOD_FLOWS, outflow=6_000.0)
        assert baseline(569, of_flows(spender)).multipliers == (
            baseline(569, of_flows(saver)).multipliers
        )

    def test_divides_rows_by_the_days_of_the_window(self) -> None:
        found = replace(of_flows(GOOD_FLOWS, rows=60), window_days=60)
        frequency = baseline(569, found).multipliers.transaction_frequency
        assert frequency == pytest.approx(0.9 + 0.3 * (1 - 0.1) / 9.9)


class TestSafety:
    @given(one=scores, other=scores, evidence=any_evidence, factor=factors)
    def test_never_lowers_the_limit_nor_raises_the_rate(
        self, one: int, other: int, evidence: Evidence, factor: float
    ) -> None:
        riskier, safer = sorted((one, other))
        lower, higher = baseline(riskier, evidence), baseline(safer, evidence)
        assert higher.limit >= lower.limit
        assert (
            limit_with_emotion(higher, POLICY, factor=factor).limit
            >= limit_with_emotion(lower, POLICY, factor=factor).limit
        )
        rates = [
            POLICY.apr.at(POLICY.risk_score(probability_of_default(score)))
            for score in (riskier, safer)
        ]
        assert rates[0] >= rates[1]


class TestTwin:
    @given(score=scores, evidence=any_evidence, factor=factors)
    def test_never_lowers_a_limit_and_raises_it_by_a_tenth_at_most(
        self, score: int, evidence: Evidence, factor: float
    ) -> None:
        without = baseline(score, evidence)
        final = limit_with_emotion(without, POLICY, factor=factor)
        assert without.limit <= final.limit
        assert final.limit.cents * 10 <= without.limit.cents * 11

    @given(score=scores, evidence=any_evidence)
    def test_is_the_baseline_for_a_factor_of_one(self, score: int, evidence: Evidence) -> None:
        without = baseline(score, evidence)
        assert limit_with_emotion(without, POLICY, factor=1.0) == without

    @given(score=scores, evidence=any_evidence, factor=factors)
    def test_comes_in_steps_of_ten(self, score: int, evidence: Evidence, factor: float) -> None:
        without = baseline(score, evidence)
        assert without.limit.cents % 1000 == 0
        assert limit_with_emotion(without, POLICY, factor=factor).limit.cents % 1000 == 0

    @given(score=scores, evidence=any_evidence, one=factors, other=factors)
    def test_rises_with_the_factor(
        self, score: int, evidence: Evidence, one: float, other: float
    ) -> None:
        without = baseline(score, evidence)
        less, more = sorted((one, other))
        assert (
            limit_with_emotion(without, POLICY, factor=less).limit
            <= limit_with_emotion(without, POLICY, factor=more).limit
        )

    def test_names_a_cap_that_only_emotion_reached(self) -> None:
        snug = replace(GOOD_FLOWS, inflow=4_450.0 / 3, debt_payments=0.0, essentials=0.0)
        without = baseline(569, of_flows(snug))
        final = limit_with_emotion(without, POLICY, factor=1.1)
        assert (without.caps_bound, final.caps_bound) == ((), (CapName.INCOME,))
        assert str(final.limit) == "4450.00"

    @given(evidence=any_evidence, score=scores)
    def test_multiplies_the_base(self, evidence: Evidence, score: int) -> None:
        twin = baseline(score, evidence)
        factors_of = twin.multipliers
        expected = math.prod(
            (twin.base, factors_of.daily_spend, factors_of.transaction_frequency, factors_of.risk)
        )
        assert twin.uncapped == pytest.approx(expected, rel=1e-12)
