"""
Features of the contract ``feat/1``: what a window of transactions says about a person.

All sums are of whole cents, hence exact: the order of the rows cannot matter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from ecs.domain.credit.history import ESSENTIALS, Category, TransactionHistory

FEATURE_CONTRACT: Final = "feat/1"
MONTH_DAYS: Final = 30
DAY: Final = timedelta(days=1)
REGULAR_INFLOW_CENTS_MIN: Final = 50_00  # An inflow counts as income only above this.
UNIT_CENTS: Final = 100
SPEND_TO_INCOME_MAX: Final = 5.0
SPEND_TREND_MIN, SPEND_TREND_MAX = -1.0, 3.0
DRAWDOWN_MAX: Final = 5.0
DEBT_SERVICE_MAX: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureVector:
    """What the scorecard sees of a person; ``None`` means missing, never zero."""

    income_30d: float
    spend_to_income: float
    n_inflows: float
    inflow_cv: float
    days_since_inflow: float
    spend_cv: float
    spend_trend: float
    max_drawdown: float
    debt_service: float | None
    fee_count: float | None
    gambling_share: float | None
    cash_share: float | None
    tenure_months: float

    def as_mapping(self) -> dict[str, float | None]:
        """Return the features by name, in the order of the contract."""
        return {name: getattr(self, name) for name in FEATURE_NAMES}


FEATURE_NAMES: Final = tuple(field.name for field in fields(FeatureVector))


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyFlows:
    """The window's money in units of the currency, scaled to a month of 30 days."""

    inflow: float
    outflow: float
    debt_payments: float
    essentials: float

    @property
    def free(self) -> float:
        """What debt payments and essentials leave of the income."""
        return max(self.inflow - self.debt_payments - self.essentials, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a decision knows about a person."""

    rows: int
    window_days: int
    monthly: MonthlyFlows
    features: FeatureVector


def gather_evidence(
    history: TransactionHistory, *, now: datetime, window_days: int, user_created_at: datetime
) -> Evidence:
    """
    Reduce a history to the evidence of a decision.

    Raises:
        ValueError: a row lies outside ``[now - window_days, now)``.
    """
    window = _Window.of(history, now=now, window_days=window_days)
    return Evidence(
        rows=len(history),
        window_days=window_days,
        monthly=_monthly(window, history),
        features=_vector(window, history, tenure_months=_tenure(now, user_created_at)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """The history in whole cents, with the age of each row in whole days."""

    days: int
    ages: tuple[int, ...]
    inflows: tuple[int, ...]
    inflow: int
    outflow: int
    daily_outflows: tuple[int, ...]
    daily_nets: tuple[int, ...]

    @classmethod
    def of(cls, history: TransactionHistory, *, now: datetime, window_days: int) -> "_Window":
        ages = tuple(_age(moment, now=now, days=window_days) for moment in history.occurred_at)
        outflows, nets = [0] * window_days, [0] * window_days
        for age, amount in zip(ages, history.amounts_minor, strict=True):
            # The very first instant of the window is exactly N days old: still its oldest block.
            block = min(age, window_days - 1)
            nets[block] += amount
            outflows[block] += max(-amount, 0)
        inflows = tuple(amount for amount in history.amounts_minor if amount > 0)
        return cls(
            days=window_days,
            ages=ages,
            inflows=inflows,
            inflow=sum(inflows),
            outflow=sum(outflows),
            daily_outflows=tuple(outflows),
            daily_nets=tuple(nets),
        )


def _age(moment: datetime, *, now: datetime, days: int) -> int:
    elapsed = now - moment
    if not timedelta(0) < elapsed <= days * DAY:
        raise ValueError("a transaction lies outside the window")
    return elapsed // DAY


def _tenure(now: datetime, user_created_at: datetime) -> int:
    return max((now - user_created_at) // (MONTH_DAYS * DAY), 0)


def _monthly(window: _Window, history: TransactionHistory) -> MonthlyFlows:
    essentials = _outflow_of(history, ESSENTIALS) if history.categorised else window.outflow / 2
    return MonthlyFlows(
        inflow=_per_month(window.inflow, days=window.days),
        outflow=_per_month(window.outflow, days=window.days),
        debt_payments=_per_month(
            _outflow_of(history, frozenset({Category.DEBT_PAYMENT})), days=window.days
        ),
        essentials=_per_month(essentials, days=window.days),
    )


def _per_month(cents: float, *, days: int) -> float:
    return cents * MONTH_DAYS / (UNIT_CENTS * days)


def _vector(window: _Window, history: TransactionHistory, *, tenure_months: int) -> FeatureVector:
    regular = _regular_ages(window, history)
    income_floor = max(window.inflow, UNIT_CENTS)
    debt_service, fee_count, gambling_share, cash_share = _by_category(window, history)
    return FeatureVector(
        income_30d=math.log1p(_per_month(window.inflow, days=window.days)),
        spend_to_income=min(window.outflow / income_floor, SPEND_TO_INCOME_MAX),
        n_inflows=float(len(regular)),
        inflow_cv=_variation(window.inflows),
        days_since_inflow=float(min(regular, default=window.days)),
        spend_cv=_variation(window.daily_outflows),
        spend_trend=_trend(window),
        max_drawdown=min(_drawdown(window) / income_floor, DRAWDOWN_MAX),
        debt_service=debt_service,
        fee_count=fee_count,
        gambling_share=gambling_share,
        cash_share=cash_share,
        tenure_months=float(tenure_months),
    )


def _regular_ages(window: _Window, history: TransactionHistory) -> list[int]:
    return [
        age
        for age, amount in zip(window.ages, history.amounts_minor, strict=True)
        if amount > REGULAR_INFLOW_CENTS_MIN
    ]


def _by_category(
    window: _Window, history: TransactionHistory
) -> tuple[float | None, float | None, float | None, float | None]:
    if not history.categorised:
        return None, None, None, None
    debt = _outflow_of(history, frozenset({Category.DEBT_PAYMENT}))
    fees = [
        amount
        for amount, category in zip(history.amounts_minor, history.categories, strict=True)
        if amount < 0 and category == Category.FEE
    ]
    return (
        min(debt / max(window.inflow, UNIT_CENTS), DEBT_SERVICE_MAX),
        float(len(fees)),
        _share(_outflow_of(history, frozenset({Category.GAMBLING})), window.outflow),
        _share(_outflow_of(history, frozenset({Category.CASH})), window.outflow),
    )


def _outflow_of(history: TransactionHistory, categories: frozenset[str]) -> int:
    rows = zip(history.amounts_minor, history.categories, strict=True)
    return sum(max(-amount, 0) for amount, category in rows if category in categories)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _variation(values: Sequence[int]) -> float:
    """Return the population standard deviation over the mean; 0 when the mean is 0."""
    total = sum(values)
    if total == 0:
        return 0.0
    # sd / mean = sqrt(n * sum(x^2) - (sum x)^2) / sum x: integers up to the root.
    return math.sqrt(len(values) * sum(value * value for value in values) - total * total) / total


def _trend(window: _Window) -> float:
    half = window.days // 2
    newer, older = sum(window.daily_outflows[:half]), sum(window.daily_outflows[half:])
    if older == 0:
        return 0.0
    return min(max(newer / older - 1, SPEND_TREND_MIN), SPEND_TREND_MAX)


def _drawdown(window: _Window) -> int:
    """Return the largest fall, in cents, of the running balance below its highest point."""
    balances = list(accumulate(reversed(window.daily_nets), initial=0))
    peaks = accumulate(balances, max)
    return max(peak - balance for peak, balance in zip(peaks, balances, strict=True))
