"""JSON shapes of credit: decisions, acceptances, accounts."""

from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from ecs.api.schemas.common import Answer, RateText
from ecs.domain.credit.agreements import CreditAccount, CreditOffer, OfferStatus, StoredAssessment
from ecs.domain.rate import quantised
from ecs.wire.forms import Instant

JOB_PATH = "/api/v1/jobs/{job_id}"


class ArtefactOut(Answer):
    """A versioned file that took part in the decision."""

    id: str
    version: str


class ReasonOut(Answer):
    """One reason, in the person's own numbers."""

    code: str
    text: str
    feature: str | None
    value: str | None


class MultipliersOut(Answer):
    """The factors of the base limit."""

    daily_spend: RateText
    transaction_frequency: RateText
    risk: RateText
    emotional_trend: RateText


class LimitOut(Answer):
    """How the limit came about: base x multipliers, then the caps."""

    base: str
    multipliers: MultipliersOut
    caps_bound: list[str]
    without_emotion: str


class InformationOut(Answer):
    """What the use of emotional data did; never an adverse reason."""

    code: str
    text: str


class EmotionOut(Answer):
    """The part that emotional data took."""

    used: bool
    factor: RateText
    events: int
    consent_ids: list[UUID]
    absent_reason: str | None
    information: InformationOut | None


class AssessmentOut(Answer):
    """How a person was judged, by which versions, and why."""

    id: UUID
    score: int | None
    risk_score: RateText | None
    probability_of_default: RateText | None
    risk_category: Literal["very_low", "low", "medium", "high"] | None
    model: ArtefactOut
    policy: ArtefactOut
    reasons: list[ReasonOut]
    limit: LimitOut | None
    emotion: EmotionOut

    @classmethod
    def of(cls, assessment: StoredAssessment) -> "AssessmentOut":
        """Return the shape of a recorded assessment."""
        record = assessment.record
        return cls(
            id=assessment.id,
            score=assessment.score,
            risk_score=_rate(assessment.risk_score),
            probability_of_default=_rate(assessment.probability_of_default),
            risk_category=assessment.risk_category,
            model=ArtefactOut(id=assessment.model_id, version=assessment.model_version),
            policy=ArtefactOut(id=assessment.policy_id, version=assessment.policy_version),
            reasons=[_reason(reason) for reason in record["reasons"]],
            limit=_limit(record["assessment"]),
            emotion=_emotion(record["emotion"]),
        )


class DecisionOut(Answer):
    """A decision: an offer and its terms, a denial, or a referral."""

    id: UUID
    user_id: UUID
    status: OfferStatus
    credit_type: Literal["short_term", "long_term"] | None
    credit_limit: str | None
    apr: RateText | None
    currency: str
    tenor_months: int | None
    expires_at: Instant | None
    created_at: Instant
    assessment: AssessmentOut
    next_steps: list[str]

    @classmethod
    def of(cls, offer: CreditOffer) -> "DecisionOut":
        """Return the shape of a decision."""
        return cls(
            id=offer.id,
            user_id=offer.user_id,
            status=offer.status,
            credit_type=offer.credit_type,
            credit_limit=None if offer.credit_limit is None else str(offer.credit_limit),
            apr=offer.apr,
            currency=offer.currency,
            tenor_months=offer.tenor_months,
            expires_at=offer.expires_at,
            created_at=offer.created_at,
            assessment=AssessmentOut.of(offer.assessment),
            next_steps=offer.assessment.record["next_steps"],
        )


class AcceptanceOut(Answer):
    """Where to follow the acceptance; the same for every accept of one offer."""

    job_id: UUID
    offer_id: UUID
    status: Literal["processing"] = "processing"
    status_url: str

    @classmethod
    def of(cls, *, job_id: UUID, offer_id: UUID) -> "AcceptanceOut":
        """Return the shape of an acceptance."""
        return cls(job_id=job_id, offer_id=offer_id, status_url=JOB_PATH.format(job_id=job_id))


class AccountOut(Answer):
    """An open line of credit."""

    id: UUID
    offer_id: UUID
    credit_type: Literal["short_term", "long_term"]
    credit_limit: str
    available_credit: str
    apr: RateText
    currency: str
    status: str
    opened_at: Instant

    @classmethod
    def of(cls, account: CreditAccount) -> "AccountOut":
        """Return the shape of an account."""
        return cls(
            id=account.id,
            offer_id=account.offer_id,
            credit_type=account.credit_type,
            credit_limit=str(account.credit_limit),
            available_credit=str(account.available_credit),
            apr=account.apr,
            currency=account.currency,
            status=account.status,
            opened_at=account.opened_at,
        )


def _rate(value: float | None) -> Decimal | None:
    return None if value is None else quantised(value)


def _reason(reason: dict[str, Any]) -> ReasonOut:
    value = reason["value"]
    return ReasonOut(
        code=reason["code"],
        text=reason["text"],
        feature=reason["feature"],
        value=None if value is None else str(quantised(value, places=3)),
    )


def _limit(assessment: dict[str, Any] | None) -> LimitOut | None:
    if assessment is None:
        return None
    final = assessment["final"]
    return LimitOut(
        base=str(quantised(final["base"], places=2)),
        multipliers=MultipliersOut(
            **{name: quantised(value) for name, value in final["multipliers"].items()}
        ),
        caps_bound=final["caps_bound"],
        without_emotion=assessment["without_emotion"]["limit"],
    )


def _emotion(emotion: dict[str, Any]) -> EmotionOut:
    # The record also knows the features: they are for the replay, not for the answer.
    shown = {name: emotion[name] for name in EmotionOut.model_fields}
    return EmotionOut(**shown | {"factor": quantised(emotion["factor"])})
