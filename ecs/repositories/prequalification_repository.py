"""Reads and writes of applications for prequalification."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.money import Money
from ecs.domain.prequalification.application import (
    DUPLICATE_PERIOD,
    Application,
    LoanType,
    NewApplication,
    Status,
    StatusChange,
)
from ecs.domain.prequalification.decision import Outcome

# ON CONFLICT: two plain inserts into an exclusion constraint may wait for each other.
_ADD: Final = text("""
WITH added AS (
    INSERT INTO prequalification_applications
        (id, user_id, pan_ciphertext, pan_blind_index, pan_masked, applicant_name, loan_type,
         monthly_income_minor, loan_amount_minor, status, duplicate_period)
    VALUES (:id, :user_id, :ciphertext, :blind_index, :pan_masked, :applicant_name, :loan_type,
            :monthly_income_minor, :loan_amount_minor, 'PENDING',
            tstzrange(now(), now() + CAST(:period AS interval)))
    ON CONFLICT ON CONSTRAINT prequalification_applications_one_active_per_pan DO NOTHING
    RETURNING id, created_at
), entry AS (
    INSERT INTO prequalification_status_changes (application_id, version, status, request_id)
    SELECT id, 1, 'PENDING', CAST(:request_id AS text) FROM added
)
SELECT created_at FROM added
""")
_FIND_DUPLICATE: Final = text("""
SELECT id FROM prequalification_applications
WHERE pan_blind_index = :blind_index AND user_id = :user_id
  AND status IN ('PENDING', 'MANUAL_REVIEW', 'PRE_APPROVED')
  AND duplicate_period && tstzrange(now(), now() + CAST(:period AS interval))
ORDER BY id DESC LIMIT 1
""")
_APPLICATIONS: Final = """
SELECT a.id, a.user_id, a.status, a.version, a.pan_masked, a.applicant_name, a.loan_type,
       a.loan_amount_minor, a.monthly_income_minor, r.cibil_score, a.decision_reason,
       a.max_approved_minor, a.created_at, a.updated_at, h.statuses, h.instants
FROM prequalification_applications a
LEFT JOIN credit_reports r ON r.application_id = a.id
CROSS JOIN LATERAL (
    SELECT array_agg(c.status ORDER BY c.version) AS statuses,
           array_agg(c.at ORDER BY c.version) AS instants
    FROM prequalification_status_changes c WHERE c.application_id = a.id
) h
"""
_FIND: Final = text(
    f"{_APPLICATIONS} WHERE a.id = :application_id"
    " AND (CAST(:user_id AS uuid) IS NULL OR a.user_id = :user_id)"
)
_LIST: Final = text(
    f"{_APPLICATIONS} WHERE a.user_id = :user_id"
    " AND (CAST(:after AS uuid) IS NULL OR a.id < :after)"
    " AND (CAST(:status AS text) IS NULL OR a.status = :status)"
    " ORDER BY a.id DESC LIMIT :limit"
)
_LIST_IN_REVIEW: Final = text(
    f"{_APPLICATIONS} WHERE a.status = 'MANUAL_REVIEW'"
    " AND (CAST(:after AS uuid) IS NULL OR a.id > :after)"
    " ORDER BY a.id LIMIT :limit"
)
# A life never runs backwards, though a transaction may begin before the one it follows.
_REVIEW: Final = text("""
WITH decided AS (
    UPDATE prequalification_applications
    SET status = :status, version = version + 1, decision_reason = :reason,
        max_approved_minor = :max_approved_minor, updated_at = greatest(now(), updated_at)
    WHERE id = :application_id AND version = :version AND status = 'MANUAL_REVIEW'
    RETURNING id, version, status, updated_at
), entry AS (
    INSERT INTO prequalification_status_changes
        (application_id, version, status, at, reviewed_by, request_id)
    SELECT id, version, status, updated_at, CAST(:client_id AS uuid), CAST(:request_id AS text)
    FROM decided
)
SELECT id FROM decided
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedPan:
    """A PAN as it may be stored, beside its mask."""

    ciphertext: bytes = field(repr=False)
    blind_index: bytes = field(repr=False)


class PrequalificationRepository:
    """Applications, as stored."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(
        self, application: NewApplication, *, pan: ProtectedPan, request_id: str | None
    ) -> datetime | None:
        """
        Store an application and its first status; return since when it is there.

        None: the PAN has an active application already, however close the race.
        """
        values = {
            "id": application.id,
            "user_id": application.user_id,
            "ciphertext": pan.ciphertext,
            "blind_index": pan.blind_index,
            "pan_masked": application.pan.masked,
            "applicant_name": application.applicant_name,
            "loan_type": application.loan_type.value,
            "monthly_income_minor": application.monthly_income.cents,
            "loan_amount_minor": application.loan_amount.cents,
            "period": DUPLICATE_PERIOD,
            "request_id": request_id,
        }
        created_at: datetime | None = (await self._session.execute(_ADD, values)).scalar()
        return created_at

    async def find_own_duplicate(self, blind_index: bytes, *, user_id: UUID) -> UUID | None:
        """Return this person's active application with the PAN, or None."""
        values = {"blind_index": blind_index, "user_id": user_id, "period": DUPLICATE_PERIOD}
        found: UUID | None = (await self._session.execute(_FIND_DUPLICATE, values)).scalar()
        return found

    async def find(
        self, application_id: UUID, *, user_id: UUID | None = None
    ) -> Application | None:
        """Return an application, of this person if one is named, or None."""
        found = await self._session.execute(
            _FIND, {"application_id": application_id, "user_id": user_id}
        )
        row = found.one_or_none()
        return None if row is None else _application(row)

    async def list_of(
        self, user_id: UUID, *, status: Status | None, limit: int, after: UUID | None
    ) -> list[Application]:
        """Return this person's applications, newest first, those behind ``after``."""
        values = {"user_id": user_id, "status": status, "limit": limit, "after": after}
        return [_application(row) for row in await self._session.execute(_LIST, values)]

    async def list_in_review(self, *, limit: int, after: UUID | None) -> list[Application]:
        """Return everybody's applications that wait for an officer, oldest first."""
        rows = await self._session.execute(_LIST_IN_REVIEW, {"limit": limit, "after": after})
        return [_application(row) for row in rows]

    async def review(
        self, application: Application, outcome: Outcome, *, client_id: UUID, request_id: str | None
    ) -> bool:
        """Write an officer's decision unless somebody was faster; return whether it was."""
        values = {
            "application_id": application.id,
            "version": application.version,
            "status": outcome.status.value,
            "reason": outcome.reason,
            "max_approved_minor": outcome.max_approved.cents if outcome.max_approved else None,
            "client_id": client_id,
            "request_id": request_id,
        }
        return (await self._session.execute(_REVIEW, values)).scalar() is not None


def _application(row: Row[Any]) -> Application:
    return Application(
        id=row.id,
        user_id=row.user_id,
        status=Status(row.status),
        version=row.version,
        pan_masked=row.pan_masked,
        applicant_name=row.applicant_name,
        loan_type=LoanType(row.loan_type),
        loan_amount=Money(row.loan_amount_minor),
        monthly_income=Money(row.monthly_income_minor),
        cibil_score=row.cibil_score,
        decision_reason=row.decision_reason,
        max_approved=None if row.max_approved_minor is None else Money(row.max_approved_minor),
        created_at=row.created_at,
        updated_at=row.updated_at,
        history=tuple(
            StatusChange(status=Status(status), at=at)
            for status, at in zip(row.statuses, row.instants, strict=True)
        ),
    )
