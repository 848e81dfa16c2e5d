"""Use cases of credit, and the recipe of an offer."""

from dataclasses import dataclass

from ecs.domain.credit import emotion, reasons
from ecs.domain.credit.decision import (
    ApplicationInputs,
    Assessment,
    Decision,
    DecisionInputs,
    DecisionStatus,
    Provenance,
    require_fit,
)
from ecs.domain.credit.emotion import EmotionSignal
from ecs.domain.credit.features import FEATURE_CONTRACT, Evidence, gather_evidence
from ecs.domain.credit.limit import limit_with_emotion, limit_without_emotion
from ecs.domain.credit.policy import Policy
from ecs.domain.credit.reasons import Lack
from ecs.domain.credit.scorecard import Scorecard, probability_of_default
from ecs.domain.credit.texts import DEFAULT_LOCALE


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditOfferCalculator:
    """
    The recipe of an offer, with the card and the policy it is cooked by.

    Raises:
        ArtefactError: the card and the policy cannot judge together.
    """

    scorecard: Scorecard
    policy: Policy
    locale: str = DEFAULT_LOCALE

    def __post_init__(self) -> None:
        require_fit(self.scorecard, self.policy)

    def calculate(self, application: ApplicationInputs) -> Decision:
        """Return the decision these facts lead to; the same facts always lead to the same one."""
        evidence = gather_evidence(
            application.history,
            now=application.now,
            window_days=application.window_days,
            user_created_at=application.user_created_at,
        )
        provenance = self._provenance(application, evidence)
        signal = emotion.permitted(application.emotion, self.policy.emotion)
        lack = reasons.find_lack(evidence, self.policy, locale=self.locale)
        if lack:
            return _referral(lack, signal, provenance)
        assessment = self._assess(evidence, factor=signal.factor)
        if self._earns_offer(assessment):
            return self._offer(assessment, evidence, signal, provenance)
        return self._denial(assessment, evidence, signal, provenance)

    def _assess(self, evidence: Evidence, *, factor: float) -> Assessment:
        points = self.scorecard.points(evidence.features)
        score = self.scorecard.score(points)
        probability = probability_of_default(score)
        risk = self.policy.risk_score(probability)
        band = self.policy.band(probability)
        apr = self.policy.apr.at(risk)
        baseline = limit_without_emotion(
            evidence, self.policy, risk=risk, apr=apr, tenor_months=band.tenor_months
        )
        return Assessment(
            points=points,
            score=score,
            probability_of_default=probability,
            risk_score=risk,
            risk_category=band.category,
            credit_type=band.credit_type,
            tenor_months=band.tenor_months,
            apr=apr,
            without_emotion=baseline,
            final=limit_with_emotion(baseline, self.policy, factor=factor),
        )

    def _earns_offer(self, assessment: Assessment) -> bool:
        # Emotion has no say here: only the baseline is looked at.
        large_enough = assessment.without_emotion.limit >= self.policy.limit.minimum
        return large_enough and not self._too_risky(assessment)

    def _too_risky(self, assessment: Assessment) -> bool:
        return not self.policy.band(assessment.probability_of_default).offered

    def _offer(
        self,
        assessment: Assessment,
        evidence: Evidence,
        signal: EmotionSignal,
        provenance: Provenance,
    ) -> Decision:
        information = emotion.tell_rise(
            without=assessment.without_emotion, final=assessment.final, locale=self.locale
        )
        return Decision(
            status=DecisionStatus.OFFERED,
            assessment=assessment,
            reasons=self._card_reasons(assessment, evidence),
            next_steps=(),
            emotion=emotion.outcome(signal, information=information),
            provenance=provenance,
        )

    def _denial(
        self,
        assessment: Assessment,
        evidence: Evidence,
        signal: EmotionSignal,
        provenance: Provenance,
    ) -> Decision:
        of_card = self._card_reasons(assessment, evidence)
        of_limit = reasons.limit_reasons(
            assessment.without_emotion, of_card, evidence, locale=self.locale
        )
        return Decision(
            status=DecisionStatus.DENIED,
            assessment=assessment,
            reasons=of_card if self._too_risky(assessment) else of_limit,
            next_steps=(),
            emotion=emotion.outcome(signal),
            provenance=provenance,
        )

    def _card_reasons(
        self, assessment: Assessment, evidence: Evidence
    ) -> tuple[reasons.Reason, ...]:
        return reasons.card_reasons(self.scorecard, assessment.points, evidence, locale=self.locale)

    def _provenance(self, application: ApplicationInputs, evidence: Evidence) -> Provenance:
        return Provenance(
            features=evidence.features,
            monthly=evidence.monthly,
            feature_contract=FEATURE_CONTRACT,
            model=self.scorecard.reference,
            policy=self.policy.reference,
            inputs=DecisionInputs.of(application),
        )


def _referral(lack: Lack, signal: EmotionSignal, provenance: Provenance) -> Decision:
    return Decision(
        status=DecisionStatus.REFERRED,
        assessment=None,
        reasons=(lack.reason,),
        next_steps=(lack.next_step,),
        emotion=emotion.unused(signal),
        provenance=provenance,
    )
