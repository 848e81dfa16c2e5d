"""Applications for a loan's prequalification, and where they may stand."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from ecs.domain.money import Money
from ecs.domain.prequalification.pan import Pan

# A PAN has at most one application that is open or approved in such a period.
DUPLICATE_PERIOD: Final = timedelta(days=30)


class LoanType(StrEnum):
    """What the loan is for."""

    PERSONAL = "PERSONAL"
    HOME = "HOME"
    AUTO = "AUTO"


class Status(StrEnum):
    """
    Where an application stands.

    The rules decide what is pending; an officer, what is in review; the other two are final.
    """

    PENDING = "PENDING"
    MANUAL_REVIEW = "MANUAL_REVIEW"
    PRE_APPROVED = "PRE_APPROVED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationForm:
    """What an applicant fills in. ``pan_number`` is as it was typed, and in clear."""

    pan_number: str = field(repr=False)
    applicant_name: str = field(repr=False)
    monthly_income: Money
    loan_amount: Money
    loan_type: LoanType


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApplication:
    """An application as it is handed in. The PAN is in clear: it lives as long as the request."""

    id: UUID
    user_id: UUID
    pan: Pan
    applicant_name: str = field(repr=False)
    monthly_income: Money
    loan_amount: Money
    loan_type: LoanType


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The proof that an application was taken in: it is pending, and will be decided."""

    application_id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A status, and since when."""

    status: Status
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """
    An application as it is kept: of its PAN, the mask alone.

    ``version`` is the number of entries in ``history``, oldest first.
    """

    id: UUID
    user_id: UUID
    status: Status
    version: int
    pan_masked: str
    applicant_name: str = field(repr=False)
    loan_type: LoanType
    loan_amount: Money
    monthly_income: Money
    cibil_score: int | None
    decision_reason: str | None
    max_approved: Money | None
    created_at: datetime
    updated_at: datetime
    history: tuple[StatusChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditEnquiry:
    """What a credit bureau is asked."""

    application_id: UUID
    pan: Pan
    monthly_income: Money
    loan_type: LoanType
