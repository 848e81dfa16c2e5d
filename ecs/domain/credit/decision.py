"""A credit decision as a value: everything a person is told, everything a replay needs."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from ecs.domain.credit.artefact import ArtefactError, ArtefactReference
from ecs.domain.credit.emotion import EmotionOutcome, EmotionSignal, unused
from ecs.domain.credit.emotional_history import EmotionalFacts
from ecs.domain.credit.features import FEATURE_CONTRACT, Evidence, FeatureVector, MonthlyFlows
from ecs.domain.credit.history import TransactionHistory
from ecs.domain.credit.limit import LimitTwin
from ecs.domain.credit.policy import CreditType, Policy, RiskCategory
from ecs.domain.credit.reasons import Lack, Reason
from ecs.domain.credit.scorecard import Scorecard, probability_of_default
from ecs.domain.money import Money


class DecisionStatus(StrEnum):
    """How a decision ended. The values are part of the public API."""

    OFFERED = "offered"
    DENIED = "denied"
    REFERRED = "referred"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationInputs:
    """
    The facts a decision is made from.

    The history holds the newest rows of ``[now - window_days, now)``, already cut. ``emotion`` is
    None where the policy forbids to read any.
    """

    history: TransactionHistory
    now: datetime
    user_created_at: datetime
    window_days: int
    emotion: EmotionalFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionInputs:
    """
    Which facts a decision was made from: enough to find them again and to prove them.

    Those of emotion are with the signal they gave, so that the rest does not depend on them.
    """

    now: datetime
    window_days: int
    user_created_at: datetime
    transaction_ids: tuple[UUID, ...]
    sha256: str

    @classmethod
    def of(cls, application: ApplicationInputs) -> "DecisionInputs":
        """Return the identity of an application's facts, whatever order its rows came in."""
        return cls(
            now=application.now,
            window_days=application.window_days,
            user_created_at=application.user_created_at,
            transaction_ids=application.history.sorted_ids(),
            sha256=application.history.sha256(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """How a person was judged: from points to both twins of the limit."""

    points: dict[str, int]
    score: int
    probability_of_default: float
    risk_score: float
    risk_category: RiskCategory
    credit_type: CreditType
    tenor_months: int
    apr: Decimal
    without_emotion: LimitTwin
    final: LimitTwin


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """By which files and from which facts a decision was made."""

    features: FeatureVector
    monthly: MonthlyFlows
    feature_contract: str
    model: ArtefactReference
    policy: ArtefactReference
    inputs: DecisionInputs

    @classmethod
    def of(
        cls,
        application: ApplicationInputs,
        evidence: Evidence,
        scorecard: Scorecard,
        policy: Policy,
    ) -> "Provenance":
        """Return by what an application is judged."""
        return cls(
            features=evidence.features,
            monthly=evidence.monthly,
            feature_contract=FEATURE_CONTRACT,
            model=scorecard.reference,
            policy=policy.reference,
            inputs=DecisionInputs.of(application),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, why, and how to replay it."""

    status: DecisionStatus
    assessment: Assessment | None
    reasons: tuple[Reason, ...]
    next_steps: tuple[str, ...]
    emotion: EmotionOutcome
    provenance: Provenance

    @classmethod
    def referral(cls, lack: Lack, signal: EmotionSignal, provenance: Provenance) -> "Decision":
        """Return the decision not to judge, with what is lacking and what would help."""
        return cls(
            status=DecisionStatus.REFERRED,
            assessment=None,
            reasons=(lack.reason,),
            next_steps=(lack.next_step,),
            emotion=unused(signal),
            provenance=provenance,
        )

    @property
    def terms(self) -> Assessment | None:
        """The assessment whose terms are on offer; None unless there is an offer."""
        return self.assessment if self.status is DecisionStatus.OFFERED else None

    @property
    def credit_limit(self) -> Money | None:
        """The limit on offer; None unless there is an offer."""
        return self.terms.final.limit if self.terms else None


def too_risky(assessment: Assessment, policy: Policy) -> bool:
    """Return whether the policy offers nothing at this probability of default."""
    return not policy.band(assessment.probability_of_default).offered


def earns_offer(assessment: Assessment, policy: Policy) -> bool:
    """Return whether there is something to offer. Emotion has no say: the baseline decides."""
    large_enough = assessment.without_emotion.limit >= policy.limit.minimum
    return large_enough and not too_risky(assessment, policy)


def require_fit(card: Scorecard, policy: Policy) -> None:
    """
    Refuse a card and a policy that cannot judge together.

    A person against whom no feature speaks must be offered credit, as far as no cap forbids it:
    then every denial has at least one reason.

    Raises:
        ArtefactError: the policy names another card, or a denial without a reason is possible.
    """
    if policy.model != card.reference:
        raise ArtefactError("the policy is not made for this scorecard")
    probability = probability_of_default(card.neutral_score)
    if not policy.band(probability).offered:
        raise ArtefactError("a person against whom nothing speaks would be denied")
    if _least_uncapped(policy, risk=policy.risk_score(probability)) < policy.limit.minimum.amount:
        raise ArtefactError("a person against whom nothing speaks would get too small a limit")


def _least_uncapped(policy: Policy, *, risk: float) -> float:
    rules = policy.multipliers
    least = rules.daily_spend.floor * rules.transaction_frequency.floor * rules.risk.at(risk)
    return policy.base_limit.at(risk) * least
