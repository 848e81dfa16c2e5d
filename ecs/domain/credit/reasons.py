"""Why a decision is as it is: what spoke against a person, the strongest first."""

from dataclasses import dataclass
from typing import Final

from ecs.domain.credit import texts
from ecs.domain.credit.features import FEATURE_NAMES, Evidence
from ecs.domain.credit.limit import CapName, LimitTwin
from ecs.domain.credit.policy import Policy
from ecs.domain.credit.reason_code import ReasonCode
from ecs.domain.credit.scorecard import FeaturePoints, Scorecard

REASONS_MAX: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason; ``value`` is the person's own, None where it is missing."""

    code: ReasonCode
    text: str
    feature: str | None
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What keeps a person from being assessed, and what would help."""

    reason: Reason
    next_step: str


def find_lack(evidence: Evidence, policy: Policy, *, locale: str) -> Lack | None:
    """Return what is missing before anybody may be judged, or None when there is enough."""
    if evidence.rows < policy.rows_min:
        return Lack(
            reason=_too_little(
                texts.rows_text(evidence.rows, needed=policy.rows_min, locale=locale),
                float(evidence.rows),
            ),
            next_step=texts.rows_step(
                needed=policy.rows_min, days=evidence.window_days, locale=locale
            ),
        )
    if evidence.monthly.inflow == 0:
        return Lack(
            reason=_too_little(texts.no_income_text(locale=locale), 0.0),
            next_step=texts.income_step(locale=locale),
        )
    return None


def card_reasons(
    card: Scorecard, points: dict[str, int], evidence: Evidence, *, locale: str
) -> tuple[Reason, ...]:
    """Return at most four reasons of the card: what cost the most points comes first."""
    costly = [feature for feature in card.features if feature.neutral > points[feature.name]]
    costly.sort(key=lambda feature: _rank(feature, points))
    strongest: dict[str, FeaturePoints] = {}
    for feature in costly:
        strongest.setdefault(_family(feature.code), feature)
    chosen = list(strongest.values())[:REASONS_MAX]
    return tuple(_of_feature(feature, evidence, locale) for feature in chosen)


def limit_reasons(
    twin: LimitTwin, of_card: tuple[Reason, ...], evidence: Evidence, *, locale: str
) -> tuple[Reason, ...]:
    """Return why a limit is too small: the smallest cap when one bound, else the card's reasons."""
    of_cap = cap_reason(twin.caps.smallest(), evidence, locale=locale) if twin.caps_bound else None
    return (of_cap,) if of_cap else of_card


def cap_reason(cap: CapName, evidence: Evidence, *, locale: str) -> Reason | None:
    """Return the reason that a cap gives, None where a cap says nothing about the person."""
    match cap:
        case CapName.INCOME:
            return Reason(
                code=ReasonCode.INCOME_LEVEL,
                text=texts.income_text(evidence.monthly.inflow, locale=locale),
                feature="income_30d",
                value=evidence.features.income_30d,
            )
        case CapName.AFFORDABILITY:
            return _unaffordable(evidence, locale)
        case CapName.ABSOLUTE:
            return None


def _too_little(text: str, value: float) -> Reason:
    return Reason(code=ReasonCode.TOO_LITTLE_DATA, text=text, feature=None, value=value)


def _unaffordable(evidence: Evidence, locale: str) -> Reason:
    monthly = evidence.monthly
    left = monthly.free / max(monthly.inflow, 1.0)
    return Reason(
        code=ReasonCode.AFFORDABILITY,
        text=texts.affordability_text(left, locale=locale),
        feature=None,
        value=left,
    )


def _rank(feature: FeaturePoints, points: dict[str, int]) -> tuple[int, str, int]:
    return (
        points[feature.name] - feature.neutral,
        feature.code,
        FEATURE_NAMES.index(feature.name),
    )


def _family(code: ReasonCode) -> str:
    """Return the code under which a reason is told once; a falling balance is told with debt."""
    return ReasonCode.DEBT_PAYMENTS if code is ReasonCode.FALLING_BALANCE else code


def _of_feature(feature: FeaturePoints, evidence: Evidence, locale: str) -> Reason:
    value = getattr(evidence.features, feature.name)
    return Reason(
        code=feature.code,
        text=_text(feature.name, value, evidence, locale),
        feature=feature.name,
        value=value,
    )


def _text(feature: str, value: float | None, evidence: Evidence, locale: str) -> str:
    if feature == "income_30d":
        return texts.income_text(evidence.monthly.inflow, locale=locale)
    unseen = evidence.window_days if evidence.features.n_inflows == 0 else None
    return texts.feature_text(feature, value, unseen_days=unseen, locale=locale)
