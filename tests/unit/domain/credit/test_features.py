import math
import statistics
from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.features import FEATURE_NAMES, FeatureVector, MonthlyFlows, gather_evidence
from ecs.domain.credit.history import Category
from tests.unit.domain.credit.people import (
    DAY,
    NOW,
    Row,
    any_rows,
    evidence,
    good_month,
    history,
)

INSTANT = timedelta(microseconds=1)


def features(rows: list[Row], *, days: int = 30, tenure: timedelta = 0 * DAY) -> FeatureVector:
    return evidence(rows, days=days, tenure=tenure).features


class TestGoodMonth:
    def test_has_the_flows_it_is_made_of(self) -> None:
        found = evidence(good_month())
        assert found.rows == 60
        assert found.monthly.inflow == 6000
        assert found.monthly.outflow == 4800
        assert found.monthly.debt_payments == 600
        assert found.monthly.essentials == 3300

    def test_has_the_features_of_its_rows(self) -> None:
        found = features(good_month())
        assert found.income_30d == math.log(6001)
        assert found.spend_to_income == 0.8
        assert found.debt_service == 0.1
        assert found.days_since_inflow == 10


class TestOrder:
    @given(rows=any_rows(), data=st.data())
    def test_of_rows_does_not_matter(self, rows: list[Row], data: st.DataObject) -> None:
        assert evidence(data.draw(st.permutations(rows))) == evidence(rows)


class TestFlows:
    @given(rows=any_rows(days=15))
    def test_of_half_a_month_count_twice(self, rows: list[Row]) -> None:
        half, whole = evidence(rows, days=15).monthly, evidence(rows).monthly
        for field in fields(half):
            assert getattr(half, field.name) == pytest.approx(2 * getattr(whole, field.name))

    def test_of_two_months_count_half_and_the_income_feature_follows(self) -> None:
        rows: list[Row] = [(DAY, 300_000, "income"), (2 * DAY, -100_000, "housing")]
        found = evidence(rows, days=60)
        assert found.monthly.inflow == 1500
        assert found.monthly.essentials == 500
        assert found.features.income_30d == math.log1p(1500)
        assert found.features.spend_to_income == 1 / 3

    def test_count_a_single_cent(self) -> None:
        found = evidence([(DAY, 1, None), (DAY, -1, "fee")]).monthly
        assert (found.inflow, found.outflow) == (0.01, 0.01)

    def test_count_every_category_transfers_too(self) -> None:
        found = evidence([(DAY, 100_00, "transfer"), (DAY, -40_00, "transfer")]).monthly
        assert (found.inflow, found.outflow) == (100, 40)

    @pytest.mark.parametrize("word", ["housing", "utilities", "groceries", "transport", "health"])
    def test_count_five_categories_as_essential(self, word: str) -> None:
        assert evidence([(DAY, -40_00, word), (DAY, 10_00, word)]).monthly.essentials == 40

    @pytest.mark.parametrize(
        "word", sorted(set(Category) - {"housing", "utilities", "groceries", "transport", "health"})
    )
    def test_count_no_other_category_as_essential(self, word: str) -> None:
        assert evidence([(DAY, -40_00, word)]).monthly.essentials == 0

    def test_take_half_of_the_outflow_as_essential_when_no_row_has_a_category(self) -> None:
        found = evidence([(DAY, 100_00, None), (DAY, -40_01, None)]).monthly
        assert found.essentials == pytest.approx(20.005)
        assert found.debt_payments == 0


class TestFreeMoney:
    @pytest.mark.parametrize(
        ("debt", "essentials", "free"), [(40, 35, 25), (40, 60, 0), (40, 61, 0), (0, 0, 100)]
    )
    def test_is_what_debt_and_essentials_leave(
        self, debt: float, essentials: float, free: float
    ) -> None:
        flows = MonthlyFlows(inflow=100, outflow=0, debt_payments=debt, essentials=essentials)
        assert flows.free == free


class TestCategoryFeatures:
    def test_are_missing_not_zero_when_no_row_has_a_category(self) -> None:
        found = features([(DAY, 100_00, None), (DAY, -40_00, None)])
        assert found.debt_service is None
        assert found.fee_count is None
        assert found.gambling_share is None
        assert found.cash_share is None

    def test_take_a_row_without_one_as_other_beside_rows_with_one(self) -> None:
        found = features([(DAY, 100_00, "income"), (DAY, -30_00, None), (DAY, -10_00, "cash")])
        assert found.debt_service == 0
        assert found.cash_share == 0.25

    def test_measure_outflows_only(self) -> None:
        rows: list[Row] = [
            (DAY, 100_00, "income"),
            (DAY, 50_00, "gambling"),
            (DAY, 50_00, "debt_payment"),
            (DAY, 5_00, "fee"),
            (DAY, -5_00, "fee"),
            (DAY, -6_00, "fee"),
            (DAY, -20_00, "gambling"),
            (DAY, -41_00, "debt_payment"),
        ]
        found = features(rows)
        assert found.fee_count == 2
        assert found.gambling_share == 20 / 72
        assert found.debt_service == 41 / 205

    def test_are_zero_without_outflow(self) -> None:
        found = features([(DAY, 100_00, "income")])
        assert (found.gambling_share, found.cash_share) == (0, 0)


class TestMaxima:
    @pytest.mark.parametrize(
        ("feature", "maximum"), [("spend_to_income", 5), ("max_drawdown", 5), ("debt_service", 2)]
    )
    def test_hold_ratios_to_tiny_income(self, feature: str, maximum: float) -> None:
        rows: list[Row] = [(2 * DAY, 1, "income"), (DAY, -10_000_00, "debt_payment")]
        assert getattr(features(rows), feature) == maximum

    def test_let_income_below_one_count_as_one(self) -> None:
        rows: list[Row] = [(2 * DAY, 50, "income"), (DAY, -1_50, "debt_payment")]
        found = features(rows)
        assert found.spend_to_income == 1.5
        assert found.debt_service == 1.5
        assert found.max_drawdown == 1.5


class TestInflows:
    @pytest.mark.parametrize(
        ("cents", "count", "days"), [(50_00, 0, 30), (50_01, 1, 3)], ids=["50", "above 50"]
    )
    def test_count_as_income_above_fifty(self, cents: int, count: int, days: int) -> None:
        found = features([(3 * DAY + INSTANT, cents, None)])
        assert found.n_inflows == count
        assert found.days_since_inflow == days

    def test_are_as_old_as_the_newest_of_them(self) -> None:
        rows: list[Row] = [(9 * DAY, 60_00, None), (4 * DAY, 60_00, None), (DAY, 10_00, None)]
        assert features(rows).days_since_inflow == 4

    def test_are_as_old_as_the_window_when_there_is_none(self) -> None:
        assert features([(DAY, -1_00, None)], days=60).days_since_inflow == 60

    def test_vary_by_population_deviation_over_mean_of_all_of_them(self) -> None:
        rows: list[Row] = [(DAY, cents, None) for cents in (10_00, 100_00, 40_00, -99_00)]
        assert features(rows).inflow_cv == pytest.approx(statistics.pstdev([10, 100, 40]) / 50)

    def test_do_not_vary_below_two(self) -> None:
        assert features([(DAY, 100_00, None)]).inflow_cv == 0
        assert features([(DAY, -100_00, None)]).inflow_cv == 0

    def test_of_nothing_are_none(self) -> None:
        found = features([(DAY, 100_00, "income"), (DAY, 0, "income"), (DAY, 0, "fee")])
        assert (found.inflow_cv, found.fee_count) == (0, 0)


class TestDays:
    @pytest.mark.parametrize(
        ("age", "days"),
        [
            pytest.param(INSTANT, 0, id="just now"),
            pytest.param(DAY - INSTANT, 0, id="not yet a day"),
            pytest.param(DAY, 1, id="a day"),
            pytest.param(30 * DAY, 30, id="the first instant of the window"),
        ],
    )
    def test_are_whole_blocks_back_from_now(self, age: timedelta, days: int) -> None:
        assert features([(age, 60_00, None)]).days_since_inflow == days

    @pytest.mark.parametrize("age", [timedelta(0), -DAY, 30 * DAY + INSTANT])
    def test_outside_the_window_are_refused(self, age: timedelta) -> None:
        with pytest.raises(ValueError, match=r"^a transaction lies outside the window$"):
            features([(age, 60_00, None)])

    def test_vary_in_spending_with_empty_days_as_zero(self) -> None:
        daily = [90.0, 30.0] + [0.0] * 28
        rows: list[Row] = [(timedelta(hours=1), -90_00, None), (DAY, -30_00, None)]
        expected = statistics.pstdev(daily) / statistics.fmean(daily)
        assert features(rows).spend_cv == pytest.approx(expected)

    def test_do_not_vary_in_spending_when_nothing_is_spent(self) -> None:
        assert features([(DAY, 60_00, None)]).spend_cv == 0


class TestSpendTrend:
    @pytest.mark.parametrize(
        ("newer", "older", "trend"),
        [
            pytest.param(60_00, 40_00, 0.5, id="rising"),
            pytest.param(20_00, 40_00, -0.5, id="falling"),
            pytest.param(0, 40_00, -1.0, id="stopped"),
            pytest.param(400_00, 40_00, 3.0, id="clipped"),
            pytest.param(40_00, 0, 0.0, id="nothing older"),
        ],
    )
    def test_compares_the_newer_half_with_the_older(
        self, newer: int, older: int, trend: float
    ) -> None:
        rows: list[Row] = [(15 * DAY - INSTANT, -newer, None), (15 * DAY, -older, None)]
        assert features([row for row in rows if row[1]]).spend_trend == trend

    def test_gives_the_odd_day_to_the_older_half(self) -> None:
        rows: list[Row] = [(2 * DAY, -30_00, None), (DAY, -10_00, None)]
        assert features(rows, days=5).spend_trend == 10 / 30 - 1


class TestDrawdown:
    def test_is_the_largest_fall_from_a_peak_over_income(self) -> None:
        rows: list[Row] = [
            (20 * DAY, 100_00, None),
            (15 * DAY, -70_00, None),
            (10 * DAY, 100_00, None),
            (5 * DAY, -40_00, None),
            (4 * DAY, -50_00, None),
        ]
        assert features(rows).max_drawdown == 90 / 200

    def test_starts_from_zero_as_the_first_peak(self) -> None:
        rows: list[Row] = [(20 * DAY, -30_00, None), (10 * DAY, 100_00, None)]
        assert features(rows).max_drawdown == 0.3

    def test_nets_the_flows_of_one_day(self) -> None:
        rows: list[Row] = [(timedelta(hours=2), -30_00, None), (timedelta(hours=1), 100_00, None)]
        assert features(rows).max_drawdown == 0

    def test_puts_the_first_instant_of_the_window_into_its_oldest_block(self) -> None:
        rows: list[Row] = [(30 * DAY, -30_00, None), (29 * DAY, 100_00, None)]
        assert features(rows).max_drawdown == 0

    def test_keeps_the_two_oldest_blocks_apart(self) -> None:
        rows: list[Row] = [(29 * DAY, -30_00, None), (28 * DAY, 100_00, None)]
        assert features(rows).max_drawdown == 0.3


class TestTenure:
    @pytest.mark.parametrize(
        ("tenure", "months"),
        [(0 * DAY, 0), (30 * DAY - INSTANT, 0), (30 * DAY, 1), (365 * DAY, 12), (-DAY, 0)],
    )
    def test_counts_whole_months_of_thirty_days(self, tenure: timedelta, months: int) -> None:
        assert features([], tenure=tenure).tenure_months == months


class TestContract:
    @given(rows=any_rows())
    def test_has_finite_values_or_none_for_anybody(self, rows: list[Row]) -> None:
        values = features(rows).as_mapping()
        assert tuple(values) == FEATURE_NAMES
        assert all(value is None or math.isfinite(value) for value in values.values())

    def test_never_reads_ids_of_rows(self) -> None:
        plain = history(good_month())
        renamed = replace(plain, ids=tuple(reversed(plain.ids)))
        found = [
            gather_evidence(item, now=NOW, window_days=30, user_created_at=NOW)
            for item in (plain, renamed)
        ]
        assert found[0] == found[1]
