"""How large a limit is: the baseline, and its twin that emotion may raise."""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from ecs.domain.credit.features import MONTH_DAYS, Evidence
from ecs.domain.credit.policy import Policy
from ecs.domain.money import Money

MONTHS_A_YEAR: Final = 12


class CapName(StrEnum):
    """What can hold a limit down. The values are part of the public API."""

    ABSOLUTE = "absolute"
    INCOME = "income"
    AFFORDABILITY = "affordability"


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipliers:
    """The factors of the base limit."""

    daily_spend: float
    transaction_frequency: float
    risk: float
    emotional_trend: float

    def product(self) -> float:
        """Return all factors multiplied."""
        return math.prod(
            (self.daily_spend, self.transaction_frequency, self.risk, self.emotional_trend)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The amounts, in units of the currency, that no limit may exceed."""

    absolute: float
    income: float
    affordability: float

    def as_mapping(self) -> dict[CapName, float]:
        """Return the caps by name, in the order they are named in answers."""
        return {
            CapName.ABSOLUTE: self.absolute,
            CapName.INCOME: self.income,
            CapName.AFFORDABILITY: self.affordability,
        }

    def smallest(self) -> CapName:
        """Return the name of the cap that binds first."""
        caps = self.as_mapping()
        return min(caps, key=caps.__getitem__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitTwin:
    """One of the two computations of a limit, with every step; amounts are not rounded."""

    base: float
    multipliers: Multipliers
    uncapped: float
    caps: Caps
    caps_bound: tuple[CapName, ...]
    limit: Money


def limit_without_emotion(
    evidence: Evidence, policy: Policy, *, risk: float, apr: Decimal, tenor_months: int
) -> LimitTwin:
    """Return the limit that spending, income and risk earn by themselves."""
    monthly = evidence.monthly
    base = policy.base_limit.at(risk)
    multipliers = _multipliers(evidence, policy, risk=risk)
    caps = Caps(
        absolute=policy.caps.absolute,
        income=policy.caps.income_multiple * monthly.inflow,
        affordability=affordable_principal(
            policy.caps.instalment_share * monthly.free, apr=apr, tenor_months=tenor_months
        ),
    )
    uncapped = base * multipliers.product()
    return LimitTwin(
        base=base,
        multipliers=multipliers,
        uncapped=uncapped,
        caps=caps,
        caps_bound=_bound(caps, uncapped),
        limit=_settled(uncapped, caps, policy),
    )


def limit_with_emotion(baseline: LimitTwin, policy: Policy, *, factor: float) -> LimitTwin:
    """Return the twin whose limit the factor may have raised, never above a cap."""
    multipliers = replace(baseline.multipliers, emotional_trend=factor)
    uncapped = baseline.base * multipliers.product()
    return replace(
        baseline,
        multipliers=multipliers,
        uncapped=uncapped,
        caps_bound=_bound(baseline.caps, uncapped),
        limit=_settled(baseline.limit.amount * factor, baseline.caps, policy),
    )


def affordable_principal(instalment: float, *, apr: Decimal, tenor_months: int) -> float:
    """Return the credit that a level monthly instalment repays in ``tenor_months``."""
    monthly_rate = float(apr) / MONTHS_A_YEAR
    return float(instalment * (1 - (1 + monthly_rate) ** -tenor_months) / monthly_rate)


def _multipliers(evidence: Evidence, policy: Policy, *, risk: float) -> Multipliers:
    # Only spending that income covers speaks for a higher limit.
    covered_daily = min(evidence.monthly.outflow, evidence.monthly.inflow) / MONTH_DAYS
    rows_daily = evidence.rows / evidence.window_days
    return Multipliers(
        daily_spend=policy.multipliers.daily_spend.at(covered_daily),
        transaction_frequency=policy.multipliers.transaction_frequency.at(rows_daily),
        risk=policy.multipliers.risk.at(risk),
        emotional_trend=1.0,
    )


def _bound(caps: Caps, uncapped: float) -> tuple[CapName, ...]:
    return tuple(name for name, cap in caps.as_mapping().items() if cap < uncapped)


def _settled(amount: float, caps: Caps, policy: Policy) -> Money:
    capped = min(amount, *caps.as_mapping().values())
    return Money.nearest(capped).down_to(policy.limit.step)
