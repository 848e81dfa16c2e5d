"""Use cases of credit, and the recipe of an offer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.credit import emotion, reasons
from ecs.domain.credit.agreements import ACTIVE, CreditOffer, OfferStatus
from ecs.domain.credit.decision import (
    ApplicationInputs,
    Assessment,
    Decision,
    DecisionStatus,
    Provenance,
    earns_offer,
    require_fit,
    too_risky,
)
from ecs.domain.credit.features import Evidence, gather_evidence
from ecs.domain.credit.limit import limit_with_emotion, limit_without_emotion
from ecs.domain.credit.policy import EmotionMode, Policy
from ecs.domain.credit.scorecard import Scorecard, probability_of_default
from ecs.domain.credit.texts import DEFAULT_LOCALE
from ecs.domain.measures import OFFERS_EXPIRED
from ecs.domain.period import Window
from ecs.domain.telemetry import Measures
from ecs.repositories.exceptions import ConflictError
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.credit_measures import measure_decision
from ecs.services.exceptions import AccountExists, OfferNotFound
from ecs.services.ports import NewId

log = structlog.get_logger(__name__)

EXPIRY_BATCH: Final = 1000
ONE_ACTIVE_OFFER: Final = "credit_offers_one_active_per_user"


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
        signal = emotion.read_signal(
            application.emotion, now=application.now, rules=self.policy.emotion
        )
        return self.decide(application, signal)

    def decide(self, application: ApplicationInputs, signal: emotion.EmotionSignal) -> Decision:
        """Return the decision, given what the emotional data say."""
        evidence = gather_evidence(
            application.history,
            now=application.now,
            window_days=application.window_days,
            user_created_at=application.user_created_at,
        )
        provenance = Provenance.of(application, evidence, self.scorecard, self.policy)
        if lack := reasons.find_lack(evidence, self.policy, locale=self.locale):
            return Decision.referral(lack, signal, provenance)
        assessment = self._assess(evidence, factor=signal.factor)
        offered = earns_offer(assessment, self.policy)
        return Decision(
            status=DecisionStatus.OFFERED if offered else DecisionStatus.DENIED,
            assessment=assessment,
            reasons=self._reasons(assessment, evidence),
            next_steps=(),
            emotion=emotion.outcome(
                signal, information=self._tell_rise(assessment) if offered else None
            ),
            provenance=provenance,
        )

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

    def _reasons(self, assessment: Assessment, evidence: Evidence) -> tuple[reasons.Reason, ...]:
        of_card = reasons.card_reasons(
            self.scorecard, assessment.points, evidence, locale=self.locale
        )
        if earns_offer(assessment, self.policy) or too_risky(assessment, self.policy):
            return of_card
        return reasons.limit_reasons(
            assessment.without_emotion, of_card, evidence, locale=self.locale
        )

    def _tell_rise(self, assessment: Assessment) -> emotion.Information | None:
        return emotion.tell_rise(
            without=assessment.without_emotion, final=assessment.final, locale=self.locale
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditService:
    """Applications for credit: decide, keep the record, show what was decided."""

    unit_of_work: Callable[[], UnitOfWork]
    calculator: CreditOfferCalculator
    new_id: NewId
    money_window: Window
    mood_window: Window
    currency: str
    offer_lifetime: timedelta
    measures: Measures

    async def apply(self, *, user_id: UUID, request_id: str | None) -> tuple[CreditOffer, bool]:
        """
        Decide about the person, unless an answer stands already; return it and whether it is new.

        One application of a person at a time: a call that had to wait gets the decision that was
        made meanwhile, and an active offer is returned as it is.

        Raises:
            AccountExists: the person has an active account.
        """
        try:
            return await self._apply(user_id=user_id, request_id=request_id)
        except ConflictError as conflict:
            # The offer lapsed before our eyes while an accept, made in time, was being written.
            if conflict.constraint != ONE_ACTIVE_OFFER:
                raise
            return await self._apply(user_id=user_id, request_id=request_id)

    async def get_offer(self, *, user_id: UUID, offer_id: UUID) -> CreditOffer:
        """Return the decision, or raise ``OfferNotFound`` when it is not this person's."""
        async with self.unit_of_work() as uow:
            offer = await uow.credit.find_offer(offer_id, user_id=user_id)
        if offer is None:
            raise OfferNotFound
        return offer

    async def list_offers(
        self, *, user_id: UUID, limit: int, after: UUID | None
    ) -> list[CreditOffer]:
        """Return the person's decisions, newest first, those behind ``after``."""
        async with self.unit_of_work() as uow:
            return await uow.credit.list_offers(user_id, limit=limit, after=after)

    async def find_active_offer(self, user_id: UUID) -> CreditOffer | None:
        """Return the offer the person may still take or is taking, or None."""
        async with self.unit_of_work() as uow:
            standing = await uow.credit.find_standing_offer(user_id)
        return standing if standing is not None and standing.status in ACTIVE else None

    async def expire_lapsed_offers(self) -> int:
        """Mark one batch of offers whose time is over; reads show them expired all the same."""
        async with self.unit_of_work() as uow:
            expired = await uow.credit.expire_lapsed(limit=EXPIRY_BATCH)
            await uow.commit()
        self.measures.count(OFFERS_EXPIRED, expired)
        log.info("credit.offers-expired", offers=expired)
        return expired

    async def _apply(self, *, user_id: UUID, request_id: str | None) -> tuple[CreditOffer, bool]:
        async with self.unit_of_work() as uow:
            seen = await uow.credit.find_newest_decision_id(user_id)
            await uow.credit.lock_applicant(user_id)
            # In this order: whoever sees an offer accepted then sees its account too.
            standing = await uow.credit.find_standing_offer(user_id)
            if await uow.credit.find_active_account(user_id) is not None:
                raise AccountExists
            if standing is not None and (standing.status in ACTIVE or standing.id != seen):
                return standing, False
            expired = 0
            if standing is not None and standing.status is OfferStatus.EXPIRED:
                expired = await uow.credit.expire_lapsed(user_id=user_id, limit=1)
            decision, offer = await self._decide(uow, user_id=user_id, request_id=request_id)
            await uow.commit()
        self.measures.count(OFFERS_EXPIRED, expired)
        measure_decision(self.measures, decision)
        log.info(
            "credit.decided",
            user_id=str(user_id),
            offer_id=str(offer.id),
            status=offer.status,
            score=offer.assessment.score,
            limit_minor=offer.credit_limit.cents if offer.credit_limit else None,
        )
        return offer, True

    async def _decide(
        self, uow: UnitOfWork, *, user_id: UUID, request_id: str | None
    ) -> tuple[Decision, CreditOffer]:
        reads_mood = self.calculator.policy.emotion.mode is not EmotionMode.OFF
        file = await uow.credit.get_applicant_file(
            user_id,
            currency=self.currency,
            money=self.money_window,
            mood=self.mood_window if reads_mood else None,
        )
        decision = self.calculator.calculate(
            ApplicationInputs(
                history=file.history,
                now=file.now,
                user_created_at=file.user_created_at,
                window_days=self.money_window.days,
                emotion=file.emotion,
            )
        )
        offer = await uow.credit.add_decision(
            decision,
            offer_id=self.new_id(),
            assessment_id=self.new_id(),
            user_id=user_id,
            request_id=request_id,
            currency=self.currency,
            lifetime=self.offer_lifetime,
        )
        return decision, offer
