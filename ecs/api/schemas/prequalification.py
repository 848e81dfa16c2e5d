"""JSON shapes of loan prequalification."""

import re
from decimal import Decimal
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from ecs.api.schemas.common import Answer, PersonName, PlainText
from ecs.domain.money import Money
from ecs.domain.prequalification.application import (
    Application,
    ApplicationForm,
    LoanType,
    Status,
    StatusChange,
    Submission,
)
from ecs.domain.prequalification.pan import HOLDER_TYPES, canonical, without_pans
from ecs.wire.forms import Body, Instant, invalid, one_of

STATUS_PATH: Final = "/api/v1/prequalification/applications/{application_id}/status"
INCOME_MAX: Final = 100_000_000
LOAN_MAX: Final = 1_000_000_000
REASON_CHARACTERS_MAX: Final = 1000
REVIEW_DECISIONS: Final = (Status.PRE_APPROVED, Status.REJECTED)
_AMOUNT: Final = re.compile(r"(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,2})?")
# The usual spelling: blanks around it and full-width characters are taken too. Test PANs may have
# any fourth letter, so that the pattern does not say which.
PAN_PATTERN: Final = "^[A-Za-z]{5}[0-9]{4}[A-Za-z]$"
PAN_DESCRIPTION: Final = (
    "A Permanent Account Number, in any case. Its fourth letter says whose it is, one of"
    f" {', '.join(HOLDER_TYPES)}; only a deployment's test PANs have another."
)


def parse_amount(value: object, *, most: int) -> Money:
    """Return an amount of rupees, exactly as it was written: a number, or text."""
    amount = _decimal(value)
    if not 0 < amount <= most:
        raise PydanticCustomError(
            "out_of_range", "Write an amount above 0 and up to {most}.", {"most": most}
        )
    minor = amount.scaleb(2)
    if minor != minor.to_integral_value():
        raise invalid("Write an amount with at most two decimals.")
    return Money(int(minor))


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PydanticCustomError("invalid_type", "Write an amount as a number or as text.")
    if isinstance(value, str) and _AMOUNT.fullmatch(value) is None:
        raise invalid('Write an amount as a number, or as text like "50000.00".')
    # The shortest text that is read as this very float: what the client wrote.
    return Decimal(repr(value) if isinstance(value, float) else value)


def _rupees(most: int) -> tuple[PlainValidator, PlainSerializer, WithJsonSchema]:
    def check(value: object) -> Money:
        return parse_amount(value, most=most)

    described = {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "maximum": most},
            {"type": "string", "pattern": _pattern(most)},
        ],
        "description": f"Rupees, above 0 and up to {most}, with at most two decimals.",
        "examples": ["50000.00"],
    }
    return PlainValidator(check), PlainSerializer(str, return_type=str), WithJsonSchema(described)


def _pattern(most: int) -> str:
    """Return how the amounts up to a power of ten are written, in a description's words."""
    digits = len(str(most)) - 2
    return (
        rf"^(?:[1-9][0-9]{{0,{digits}}}(?:\.[0-9]{{1,2}})?|{most}(?:\.00?)?"
        r"|0\.(?:[1-9][0-9]?|0[1-9]))$"
    )


def _canonical_pan(text: str) -> str:
    spelled = canonical(text)
    if spelled is None:
        raise invalid("Write a PAN: five letters, four digits, one letter.")
    return spelled


def _check_reason(reason: str) -> str:
    if not reason:
        raise invalid("Write a reason; the applicant will read it.")
    return reason


class ApplicationIn(Body):
    """An application for the prequalification of a loan."""

    pan_number: Annotated[
        StrictStr,
        Field(
            max_length=64,
            repr=False,
            examples=["ABCPE1234F"],
            description=PAN_DESCRIPTION,
            json_schema_extra={"pattern": PAN_PATTERN},
        ),
        AfterValidator(_canonical_pan),
    ]
    applicant_name: Annotated[PersonName, Field(repr=False), AfterValidator(without_pans)]
    monthly_income_inr: Annotated[Money, *_rupees(INCOME_MAX)]
    loan_amount_inr: Annotated[Money, *_rupees(LOAN_MAX)]
    loan_type: Annotated[StrictStr, *one_of(LoanType)]

    def form(self) -> ApplicationForm:
        """Return the domain's value."""
        return ApplicationForm(
            pan_number=self.pan_number,
            applicant_name=self.applicant_name,
            monthly_income=self.monthly_income_inr,
            loan_amount=self.loan_amount_inr,
            loan_type=LoanType(self.loan_type),
        )


class ReviewIn(Body):
    """What an officer decides, and why; the applicant reads the reason, any PAN in it masked."""

    decision: Annotated[StrictStr, *one_of(REVIEW_DECISIONS)]
    reason: Annotated[
        PlainText,
        Field(max_length=REASON_CHARACTERS_MAX, json_schema_extra={"minLength": 1}),
        AfterValidator(_check_reason),
        AfterValidator(without_pans),
    ]


class SubmissionOut(Answer):
    """An application that was taken in; its status is at the ``Location``."""

    application_id: UUID
    status: Literal["PENDING"] = "PENDING"
    created_at: Instant

    @classmethod
    def of(cls, submission: Submission) -> "SubmissionOut":
        """Return the shape of ``submission``."""
        return cls(application_id=submission.application_id, created_at=submission.created_at)


class StatusChangeOut(Answer):
    """A status, and since when."""

    status: Status
    at: Instant

    @classmethod
    def of(cls, change: StatusChange) -> "StatusChangeOut":
        """Return the shape of ``change``."""
        return cls(status=change.status, at=change.at)


class ApplicationOut(Answer):
    """
    An application and how it came to its status, oldest first.

    Amounts are rupees as text with two decimals; of the PAN only the last four characters.
    """

    application_id: UUID
    status: Status
    pan_number_masked: str
    applicant_name: str
    loan_type: LoanType
    loan_amount_inr: str
    monthly_income_inr: str
    cibil_score: int | None
    decision_reason: str | None
    max_approved_amount_inr: str | None
    created_at: Instant
    updated_at: Instant
    history: list[StatusChangeOut]

    @classmethod
    def of(cls, application: Application) -> "ApplicationOut":
        """Return the shape of ``application``."""
        approved = application.max_approved
        return cls(
            application_id=application.id,
            status=application.status,
            pan_number_masked=application.pan_masked,
            applicant_name=application.applicant_name,
            loan_type=application.loan_type,
            loan_amount_inr=str(application.loan_amount),
            monthly_income_inr=str(application.monthly_income),
            cibil_score=application.cibil_score,
            decision_reason=application.decision_reason,
            max_approved_amount_inr=None if approved is None else str(approved),
            created_at=application.created_at,
            updated_at=application.updated_at,
            history=[StatusChangeOut.of(change) for change in application.history],
        )
