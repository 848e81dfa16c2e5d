"""Applications for prequalification: taken in, shown, and decided by officers."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog

from ecs.domain.audit import AuditAction, AuditEntry
from ecs.domain.events import ApplicationSubmitted
from ecs.domain.measures import PREQUALIFICATION_LOANS, PREQUALIFICATIONS
from ecs.domain.prequalification.application import (
    Application,
    ApplicationForm,
    NewApplication,
    Status,
    Submission,
)
from ecs.domain.prequalification.decision import review
from ecs.domain.prequalification.pan import Pan
from ecs.domain.telemetry import Measures
from ecs.repositories.prequalification_repository import ProtectedPan
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import (
    AlreadyDecided,
    ApplicationNotFound,
    DuplicateApplication,
    InvalidPan,
    NotInReview,
)
from ecs.services.idempotency import Idempotency, KeyedRequest
from ecs.services.ports import BlindIndex, NewId, PanCipher

log = structlog.get_logger(__name__)

SERVICE: Final = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrequalificationService:
    """
    What applicants and officers do.

    ``test_pans`` are taken whatever their fourth letter; none in production.
    """

    unit_of_work: Callable[[], UnitOfWork]
    cipher: PanCipher
    blind_index: BlindIndex
    idempotency: Idempotency
    new_id: NewId
    test_pans: frozenset[str]
    measures: Measures

    async def submit(
        self,
        form: ApplicationForm,
        *,
        user_id: UUID,
        request_id: str | None,
        request: KeyedRequest | None = None,
    ) -> tuple[Submission, bool]:
        """
        Take an application in; return the proof, and whether it is one given before.

        Raises:
            InvalidPan: nobody can have such a PAN.
            DuplicateApplication: the PAN has an active application.
        """
        application = self._application(form, user_id=user_id)
        async with self.unit_of_work() as uow:
            kept = await self.idempotency.recall(uow, request)
            if kept is not None:
                return _submission(kept), True
            submission = await self._store(uow, application, request_id=request_id)
            await self.idempotency.keep(uow, request, _kept(submission))
            await uow.commit()
        self.measures.count(PREQUALIFICATION_LOANS, loan_type=application.loan_type)
        self.measures.count(PREQUALIFICATIONS, status=Status.PENDING)
        log.info(
            "prequalification.submitted",
            application_id=str(application.id),
            user_id=str(user_id),
            loan_type=application.loan_type,
        )
        return submission, False

    async def get(self, application_id: UUID, *, user_id: UUID) -> Application:
        """Return the application, or raise ``ApplicationNotFound`` when it is not this person's."""
        async with self.unit_of_work() as uow:
            found = await uow.prequalification.find(application_id, user_id=user_id)
        if found is None:
            raise ApplicationNotFound
        return found

    async def list(
        self, *, user_id: UUID, status: Status | None, limit: int, after: UUID | None
    ) -> Sequence[Application]:
        """Return the person's applications, newest first, those behind ``after``."""
        async with self.unit_of_work() as uow:
            return await uow.prequalification.list_of(
                user_id, status=status, limit=limit, after=after
            )

    async def list_in_review(self, *, limit: int, after: UUID | None) -> Sequence[Application]:
        """Return everybody's applications that wait for an officer, oldest first."""
        async with self.unit_of_work() as uow:
            return await uow.prequalification.list_in_review(limit=limit, after=after)

    async def review(
        self,
        application_id: UUID,
        *,
        status: Status,
        reason: str,
        client_id: UUID,
        request_id: str | None,
        request: KeyedRequest | None = None,
    ) -> tuple[Application, bool]:
        """
        Write down an officer's decision; return the application, and whether it was so before.

        Raises:
            ApplicationNotFound: there is none.
            NotInReview: it is still pending.
            AlreadyDecided: by rule, or by an officer who was faster.
        """
        async with self.unit_of_work() as uow:
            replayed = await self.idempotency.recall(uow, request) is not None
            application = await _get_any(uow, application_id)
            if replayed:  # Decided for good: it reads as it did then.
                return application, True
            _check_in_review(application)
            outcome = review(
                status=status, reason=reason, monthly_income=application.monthly_income
            )
            if not await uow.prequalification.review(
                application, outcome, client_id=client_id, request_id=request_id
            ):
                raise AlreadyDecided
            application = await _get_any(uow, application_id)
            await self.idempotency.keep(uow, request, {"application_id": str(application_id)})
            await uow.commit()
        self.measures.count(PREQUALIFICATIONS, status=application.status)
        log.info(
            "prequalification.reviewed",
            application_id=str(application_id),
            client_id=str(client_id),
            status=application.status,
        )
        return application, False

    def _application(self, form: ApplicationForm, *, user_id: UUID) -> NewApplication:
        try:
            pan = Pan.parse(form.pan_number, test_pans=self.test_pans)
        except ValueError:
            raise InvalidPan from None
        return NewApplication(
            id=self.new_id(),
            user_id=user_id,
            pan=pan,
            applicant_name=form.applicant_name,
            monthly_income=form.monthly_income,
            loan_amount=form.loan_amount,
            loan_type=form.loan_type,
        )

    async def _store(
        self, uow: UnitOfWork, application: NewApplication, *, request_id: str | None
    ) -> Submission:
        pan = ProtectedPan(
            ciphertext=self.cipher.encrypt(application.pan, application_id=application.id),
            blind_index=self.blind_index(application.pan),
        )
        created_at = await uow.prequalification.add(application, pan=pan, request_id=request_id)
        if created_at is None:
            raise await _duplicate(uow, pan, user_id=application.user_id)
        await uow.audit.add([_encrypted(application, request_id=request_id)])
        event = _submitted(application, ciphertext=pan.ciphertext)
        await uow.outbox.add(event, event_id=self.new_id(), request_id=request_id)
        return Submission(application_id=application.id, created_at=created_at)


async def _duplicate(uow: UnitOfWork, pan: ProtectedPan, *, user_id: UUID) -> DuplicateApplication:
    own = await uow.prequalification.find_own_duplicate(pan.blind_index, user_id=user_id)
    return DuplicateApplication() if own is None else DuplicateApplication(application_id=own)


async def _get_any(uow: UnitOfWork, application_id: UUID) -> Application:
    found = await uow.prequalification.find(application_id)
    if found is None:
        raise ApplicationNotFound
    return found


def _check_in_review(application: Application) -> None:
    if application.status is Status.PENDING:
        raise NotInReview
    if application.status is not Status.MANUAL_REVIEW:
        raise AlreadyDecided


def _encrypted(application: NewApplication, *, request_id: str | None) -> AuditEntry:
    return AuditEntry(
        actor=f"user:{application.user_id}",
        service=SERVICE,
        action=AuditAction.ENCRYPT,
        application_id=application.id,
        request_id=request_id,
    )


def _submitted(application: NewApplication, *, ciphertext: bytes) -> ApplicationSubmitted:
    return ApplicationSubmitted(
        application_id=application.id,
        user_id=application.user_id,
        pan_encrypted=b64encode(ciphertext).decode(),
        monthly_income_inr=str(application.monthly_income),
        loan_amount_inr=str(application.loan_amount),
        loan_type=application.loan_type.value,
    )


def _kept(submission: Submission) -> dict[str, str]:
    return {
        "application_id": str(submission.application_id),
        "created_at": submission.created_at.isoformat(),
    }


def _submission(kept: Mapping[str, Any]) -> Submission:
    return Submission(
        application_id=UUID(kept["application_id"]),
        created_at=datetime.fromisoformat(kept["created_at"]),
    )
