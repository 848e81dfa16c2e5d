"""Use cases of an accepted offer: take it, open its account in the background, or say why not."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from ecs.domain import notifications
from ecs.domain.credit.agreements import (
    TAKEN,
    Acceptance,
    AcceptanceRefusal,
    CreditAccount,
    OfferStatus,
    refuse_acceptance,
)
from ecs.domain.events import NotificationWritten, OfferAccepted
from ecs.domain.jobs import ATTEMPTS_MAX, Job, pause_before_retry
from ecs.domain.measures import ACCEPT_TO_ACCOUNT_SECONDS, ACCEPTANCES, ACCOUNTS, JOB_FAILURES
from ecs.domain.notifications import Message
from ecs.domain.telemetry import Measures
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import (
    AccountExists,
    AccountNotFound,
    Busy,
    Conflict,
    OfferDenied,
    OfferExpired,
    OfferNotFound,
    OfferReferred,
    OfferVoid,
)
from ecs.services.ports import NewId

log = structlog.get_logger(__name__)

CONSUMER: Final = "credit.open-account"
CLAIM_TRIES: Final = 3
REFUSED_BY_STATUS: Final[dict[OfferStatus, type[Conflict]]] = {
    OfferStatus.EXPIRED: OfferExpired,
    OfferStatus.DENIED: OfferDenied,
    OfferStatus.REFERRED: OfferReferred,
    OfferStatus.VOID: OfferVoid,
}
EXPLANATIONS: Final[dict[AcceptanceRefusal, str]] = {
    AcceptanceRefusal.ACCOUNT_EXISTS: AccountExists.detail,
    AcceptanceRefusal.OFFER_NOT_ACCEPTING: "The offer is no longer being accepted.",
    AcceptanceRefusal.USER_DISABLED: "The user account is disabled.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceService:
    """From "I accept" to exactly one account."""

    unit_of_work: Callable[[], UnitOfWork]
    new_id: NewId
    measures: Measures

    async def accept_offer(self, *, user_id: UUID, offer_id: UUID, request_id: str | None) -> UUID:
        """
        Accept an open offer and return the id of the job that opens the account.

        Accepting again returns the same id, for ever.

        Raises:
            OfferNotFound: there is no such offer for this person.
            AccountExists: the person's account comes from another offer.
            OfferExpired, OfferDenied, OfferReferred, OfferVoid: it cannot be accepted.
        """
        job_id = self.new_id()
        for _ in range(CLAIM_TRIES):
            async with self.unit_of_work() as uow:
                if await uow.credit.claim_offer(offer_id, user_id=user_id, job_id=job_id):
                    await uow.jobs.add(job_id, kind=OfferAccepted.kind, user_id=user_id)
                    await uow.outbox.add(
                        OfferAccepted(offer_id=offer_id), event_id=job_id, request_id=request_id
                    )
                    await uow.commit()
                    self.measures.count(ACCEPTANCES)
                    log.info("credit.offer-accepted", offer_id=str(offer_id), job_id=str(job_id))
                    return job_id
                taken_by = await _job_of_taken_offer(uow, offer_id=offer_id, user_id=user_id)
            if taken_by is not None:
                return taken_by
        raise Busy

    async def open_account(self, *, job_id: UUID) -> None:
        """
        Open the account of an accepted offer. Safe to call any number of times, even at once.

        An attempt that fails is noted, tried again after a pause, and raised for the log.
        """
        attempts = await self._start(job_id)
        if attempts is None:
            log.info("credit.acceptance-finished-or-in-other-hands", job_id=str(job_id))
            return
        if attempts > ATTEMPTS_MAX:  # The worker died in the middle each time.
            await self._note_failure(job_id, attempts)
            return
        try:
            await self._open(job_id)
        except Exception:
            await self._note_failure(job_id, attempts)
            raise

    async def find_account(self, user_id: UUID) -> CreditAccount | None:
        """Return the person's active account, or None."""
        async with self.unit_of_work() as uow:
            return await uow.credit.find_active_account(user_id)

    async def get_account(self, user_id: UUID) -> CreditAccount:
        """Return the person's active account, or raise ``AccountNotFound``."""
        account = await self.find_account(user_id)
        if account is None:
            raise AccountNotFound
        return account

    async def give_up(self, *, job_id: UUID) -> None:
        """End an acceptance that nobody can finish: the person is told, the offer stands again."""
        await self._note_failure(job_id, ATTEMPTS_MAX)

    async def _start(self, job_id: UUID) -> int | None:
        async with self.unit_of_work() as uow:
            attempts = await uow.jobs.start(job_id)
            await uow.commit()
        return attempts

    async def _open(self, job_id: UUID) -> None:
        async with self.unit_of_work() as uow:
            job = await uow.jobs.hold(job_id)
            if job is None:
                log.info("credit.acceptance-in-other-hands", job_id=str(job_id))
                return
            await uow.processed_messages.remember(consumer=CONSUMER, message_id=job_id)
            acceptance = await uow.credit.get_acceptance(job_id)
            refusal = refuse_acceptance(acceptance)
            opened_after = None
            if refusal is None:
                opened_after = await self._write_account(uow, job, acceptance)
            else:
                await self._write_refusal(uow, job, acceptance, refusal)
            await uow.commit()
        self._measure_end(opened_after)
        log.info(
            "credit.acceptance-finished",
            job_id=str(job_id),
            offer_id=str(acceptance.offer_id),
            refusal=refusal,
        )

    async def _write_account(self, uow: UnitOfWork, job: Job, acceptance: Acceptance) -> timedelta:
        """Return how long after the accept the account is open."""
        account_id = self.new_id()
        opened_at = await uow.credit.add_account(account_id, offer_id=acceptance.offer_id)
        await uow.credit.move_offer(acceptance.offer_id, job_id=job.id, to=OfferStatus.ACCEPTED)
        await uow.jobs.succeed(job.id, result={"account_id": str(account_id)})
        good_news = notifications.account_opened(
            credit_limit=acceptance.credit_limit.grouped, currency=acceptance.currency
        )
        await self._tell(uow, job, acceptance, good_news)
        return opened_at - job.created_at

    async def _write_refusal(
        self, uow: UnitOfWork, job: Job, acceptance: Acceptance, refusal: AcceptanceRefusal
    ) -> None:
        await uow.credit.move_offer(acceptance.offer_id, job_id=job.id, to=OfferStatus.VOID)
        await uow.jobs.fail(job.id, code=refusal, message=EXPLANATIONS[refusal])
        await self._tell(
            uow, job, acceptance, notifications.acceptance_refused(EXPLANATIONS[refusal])
        )

    async def _note_failure(self, job_id: UUID, attempts: int) -> None:
        pause = pause_before_retry(attempts)
        async with self.unit_of_work() as uow:
            job = await uow.jobs.hold(job_id)
            if job is None:
                return  # A second copy finished it, or is at it now.
            if pause is not None:
                await uow.outbox.retry(job_id, pause=pause)
            else:
                await self._give_up(uow, job)
            await uow.commit()
        self._measure_failure(gave_up=pause is None)
        log.warning(
            "credit.acceptance-attempt-failed",
            job_id=str(job_id),
            attempt=attempts,
            gave_up=pause is None,
        )

    async def _give_up(self, uow: UnitOfWork, job: Job) -> None:
        acceptance = await uow.credit.get_acceptance(job.id)
        await uow.jobs.fail(
            job.id, code="internal", message="The account could not be opened. Accept once more."
        )
        await self._tell(uow, job, acceptance, notifications.acceptance_failed())
        await uow.credit.move_offer(acceptance.offer_id, job_id=job.id, to=OfferStatus.OFFERED)

    def _measure_end(self, opened_after: timedelta | None) -> None:
        if opened_after is None:
            self.measures.count(ACCOUNTS, outcome="refused")
            return
        self.measures.count(ACCOUNTS, outcome="account_opened")
        self.measures.observe(ACCEPT_TO_ACCOUNT_SECONDS, opened_after.total_seconds())

    def _measure_failure(self, *, gave_up: bool) -> None:
        then = "given_up" if gave_up else "retried"
        self.measures.count(JOB_FAILURES, kind=OfferAccepted.kind, then=then)
        if gave_up:
            self.measures.count(ACCOUNTS, outcome="given_up")

    async def _tell(
        self, uow: UnitOfWork, job: Job, acceptance: Acceptance, message: Message
    ) -> None:
        news_id, reader = self.new_id(), acceptance.user_id
        await uow.notifications.add(
            news_id, message, user_id=reader, job_id=job.id, offer_id=acceptance.offer_id
        )
        # The job that mails it has the same id: there is never a second one.
        await uow.jobs.add(news_id, kind=NotificationWritten.kind, user_id=reader)
        await uow.outbox.add(
            NotificationWritten(notification_id=news_id),
            event_id=news_id,
            request_id=acceptance.request_id,
        )


async def _job_of_taken_offer(uow: UnitOfWork, *, offer_id: UUID, user_id: UUID) -> UUID | None:
    """
    Return the job of an offer taken before, or raise why it cannot be taken.

    None when it was given back between the claim and this look: then it can be claimed again.
    """
    offer = await uow.credit.find_offer(offer_id, user_id=user_id)
    if offer is None:
        raise OfferNotFound
    if offer.status in TAKEN and offer.job_id is not None:
        return offer.job_id
    if await uow.credit.find_active_account(user_id) is not None:
        raise AccountExists
    if offer.status is OfferStatus.OFFERED:
        return None
    raise REFUSED_BY_STATUS[offer.status]
