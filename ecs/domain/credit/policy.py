"""The numbers of the business, in one versioned file, and the curves they draw."""

import hashlib
import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Final

from ecs.domain.credit.artefact import ArtefactError, ArtefactReference, Fields
from ecs.domain.credit.features import FEATURE_CONTRACT
from ecs.domain.money import Money
from ecs.domain.rate import quantised

SCHEMA: Final = "ecs.credit-policy/1"


class RiskCategory(StrEnum):
    """Bands of default risk, from best to worst. The values are part of the public API."""

    VERY_LOW = "very_low"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class CreditType(StrEnum):
    """How long a credit runs. The values are part of the public API."""

    LONG_TERM = "long_term"
    SHORT_TERM = "short_term"


class EmotionMode(StrEnum):
    """What shared emotional data may do to a decision."""

    BENEFIT_ONLY = "benefit_only"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A category of risk, the PD it ends below, and the kind of credit it earns."""

    category: RiskCategory
    pd_below: float
    credit_type: CreditType
    tenor_months: int
    offered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAnchor:
    """A corner of the piecewise linear risk score."""

    pd: float
    risk: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AprCurve:
    """The yearly rate: ``floor + span x (min(r, risk_ceiling) / risk_ceiling) ^ exponent``."""

    floor: float
    span: float
    risk_ceiling: float
    exponent: float

    def at(self, risk: float) -> Decimal:
        """Return the rate as a fraction with six decimals, half to even."""
        share = min(risk, self.risk_ceiling) / self.risk_ceiling
        return quantised(self.floor + self.span * share**self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseLimit:
    """The limit before multipliers: ``amount x exp(-decay x r)``."""

    amount: float
    decay: float

    def at(self, risk: float) -> float:
        """Return the base limit in units of the currency."""
        return self.amount * math.exp(-self.decay * risk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A multiplier: ``floor + weight x n ^ exponent``, n = ``(x - start) / span`` in [0, 1]."""

    start: float
    span: float
    floor: float
    weight: float
    exponent: int

    def at(self, value: float) -> float:
        """Return the factor of a value."""
        share = min(max((value - self.start) / self.span, 0.0), 1.0)
        return self.floor + self.weight * share**self.exponent


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplierRules:
    """What moves the base limit, apart from emotion."""

    daily_spend: Ramp
    transaction_frequency: Ramp
    risk: Ramp


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRules:
    """What no limit may exceed."""

    absolute: float
    income_multiple: float
    instalment_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRules:
    """The least limit worth an offer, and the step that limits come in."""

    minimum: Money
    step: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionRules:
    """Whether and how far shared emotional data may raise a limit; weights in log-odds."""

    mode: EmotionMode
    valence_weight: float
    trend_weight: float
    trend_scale: float
    block_max: float
    sensitivity: float
    factor_min: float
    factor_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Every number of a credit decision that the business may change without changing code."""

    reference: ArtefactReference
    model: ArtefactReference
    rows_min: int
    bands: tuple[Band, ...]
    risk_anchors: tuple[RiskAnchor, ...]
    apr: AprCurve
    base_limit: BaseLimit
    multipliers: MultiplierRules
    caps: CapRules
    limit: LimitRules
    emotion: EmotionRules

    def __post_init__(self) -> None:
        categories = [band.category for band in self.bands]
        _require(categories == list(RiskCategory), "bands: each category once, from best to worst")
        _require(_ascending([band.pd_below for band in self.bands]), "bands: PDs not ascending")
        _require(not self.bands[-1].offered, "bands: the highest risk must not be offered credit")
        _require(len(self.risk_anchors) > 1, "risk_score: fewer than two corners")
        _require(_ascending([anchor.pd for anchor in self.risk_anchors]), "risk_score: PDs")
        _require(_ascending([anchor.risk for anchor in self.risk_anchors]), "risk_score: risks")
        _require(self.risk_anchors[0].pd > 0 and self.risk_anchors[-1].pd < 1, "risk_score: PDs")
        _require(self.apr.floor > 0, "apr: floor must be positive")
        _require(self.limit.step.cents > 0, "limit: step must be positive")
        _require(self.caps.absolute >= self.limit.minimum.amount, "caps: absolute below minimum")
        _require(self.emotion.trend_scale > 0, "emotion: trend_scale must be positive")
        _require(1 == self.emotion.factor_min <= self.emotion.factor_max, "emotion: factor bounds")

    def band(self, probability_of_default: float) -> Band:
        """Return the band of a PD; whoever is in no better one is in the last."""
        return next(
            (band for band in self.bands if probability_of_default < band.pd_below),
            self.bands[-1],
        )

    def risk_score(self, probability_of_default: float) -> float:
        """Return the risk in [0, 1]: piecewise linear in the log-odds of the PD, clamped."""
        first, last = self.risk_anchors[0], self.risk_anchors[-1]
        if probability_of_default <= first.pd:
            return first.risk
        for low, high in pairwise(self.risk_anchors):
            if probability_of_default < high.pd:
                return _between(low, high, probability_of_default)
        return last.risk


def parse_policy(raw: bytes) -> Policy:
    """
    Read a policy from the bytes of its artefact.

    Raises:
        ArtefactError: a field is missing, of the wrong type, or breaks a rule of the policy.
    """
    fields = Fields.parse(raw)
    _require(fields.text("schema") == SCHEMA, f"schema is not {SCHEMA}")
    _require(fields.text("feature_contract") == FEATURE_CONTRACT, "unknown feature contract")
    try:
        return _policy(fields, sha256=hashlib.sha256(raw).hexdigest())
    except ArtefactError:
        raise
    except ValueError as error:  # An unknown word, or an amount of the wrong form.
        raise ArtefactError(str(error)) from None


def _policy(fields: Fields, *, sha256: str) -> Policy:
    multipliers = fields.section("multipliers")
    return Policy(
        reference=ArtefactReference(
            id=fields.text("id"), version=fields.text("version"), sha256=sha256
        ),
        model=_model(fields.section("model")),
        rows_min=fields.integer("rows_min"),
        bands=tuple(_band(item) for item in fields.sections("bands")),
        risk_anchors=tuple(
            RiskAnchor(pd=item.number("pd"), risk=item.number("risk"))
            for item in fields.sections("risk_score")
        ),
        apr=_apr(fields.section("apr")),
        base_limit=_base_limit(fields.section("base_limit")),
        multipliers=MultiplierRules(
            daily_spend=_ramp(multipliers.section("daily_spend")),
            transaction_frequency=_ramp(multipliers.section("transaction_frequency")),
            risk=_ramp(multipliers.section("risk")),
        ),
        caps=_caps(fields.section("caps")),
        limit=_limit(fields.section("limit")),
        emotion=_emotion(fields.section("emotion")),
    )


def _model(fields: Fields) -> ArtefactReference:
    return ArtefactReference(
        id=fields.text("id"), version=fields.text("version"), sha256=fields.text("sha256")
    )


def _band(fields: Fields) -> Band:
    return Band(
        category=RiskCategory(fields.text("category")),
        pd_below=fields.number("pd_below"),
        credit_type=CreditType(fields.text("credit_type")),
        tenor_months=fields.integer("tenor_months"),
        offered=fields.flag("offered"),
    )


def _apr(fields: Fields) -> AprCurve:
    return AprCurve(
        floor=fields.number("floor"),
        span=fields.number("span"),
        risk_ceiling=fields.number("risk_ceiling"),
        exponent=fields.number("exponent"),
    )


def _base_limit(fields: Fields) -> BaseLimit:
    return BaseLimit(amount=fields.number("amount"), decay=fields.number("decay"))


def _ramp(fields: Fields) -> Ramp:
    return Ramp(
        start=fields.number("start"),
        span=fields.number("span"),
        floor=fields.number("floor"),
        weight=fields.number("weight"),
        exponent=fields.integer("exponent"),
    )


def _caps(fields: Fields) -> CapRules:
    return CapRules(
        absolute=fields.number("absolute"),
        income_multiple=fields.number("income_multiple"),
        instalment_share=fields.number("instalment_share"),
    )


def _limit(fields: Fields) -> LimitRules:
    return LimitRules(
        minimum=Money.parse(fields.text("minimum")), step=Money.parse(fields.text("step"))
    )


def _emotion(fields: Fields) -> EmotionRules:
    return EmotionRules(
        mode=EmotionMode(fields.text("mode")),
        valence_weight=fields.number("valence_weight"),
        trend_weight=fields.number("trend_weight"),
        trend_scale=fields.number("trend_scale"),
        block_max=fields.number("block_max"),
        sensitivity=fields.number("sensitivity"),
        factor_min=fields.number("factor_min"),
        factor_max=fields.number("factor_max"),
    )


def _between(low: RiskAnchor, high: RiskAnchor, probability: float) -> float:
    start, end = _log_odds(low.pd), _log_odds(high.pd)
    share = (_log_odds(probability) - start) / (end - start)
    return low.risk + (high.risk - low.risk) * share


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _ascending(values: list[float]) -> bool:
    return all(low < high for low, high in pairwise(values))


def _require(holds: bool, rule: str) -> None:  # noqa: FBT001  (reads as a sentence)
    if not holds:
        raise ArtefactError(rule)
