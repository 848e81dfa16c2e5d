"""The events of prequalification as they travel, and what is told of a message that is left."""

import base64
import binascii
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr

from ecs.domain.events import ApplicationSubmitted, CreditReportGenerated
from ecs.domain.money import Money
from ecs.domain.prequalification.application import LoanType
from ecs.domain.prequalification.pipeline import ReportNotice, SubmissionNotice, Verdict
from ecs.wire.domain_events import read_event
from ecs.wire.forms import Body, StrictUuid, invalid, one_of

CIPHERTEXT_CHARACTERS_MAX: Final = 400
EXPLANATIONS: Final[dict[Verdict, str]] = {
    Verdict.UNKNOWN_APPLICATION: "There is no application with this application_id.",
    Verdict.UNDECRYPTABLE: "pan_encrypted was changed, or belongs to another application.",
    Verdict.REPORT_MISSING: "No credit report of this application is stored.",
    Verdict.BUREAU_UNAVAILABLE: "The credit bureau gave no score.",
    Verdict.UNKNOWN_KEY: "The key that pan_encrypted names is not in ENCRYPTION_KEYS.",
}


def parse_ciphertext(value: object) -> bytes:
    """Return the bytes that a text in base64 spells."""
    if isinstance(value, str) and 0 < len(value) <= CIPHERTEXT_CHARACTERS_MAX:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise invalid(f"Write base64 of at most {CIPHERTEXT_CHARACTERS_MAX} characters.")


def _check_amount(value: str) -> str:
    try:
        amount = Money.parse(value)
    except ValueError:
        raise invalid("Write rupees with two decimals, as in 45000.00.") from None
    if amount.cents <= 0:
        raise invalid("Write an amount above zero.")
    return value


Amount = Annotated[StrictStr, AfterValidator(_check_amount)]
"""Rupees as text."""

Ciphertext = Annotated[bytes, BeforeValidator(parse_ciphertext), Field(repr=False)]
"""What the cipher made, in base64."""


class ApplicationSubmittedData(Body):
    """What ``prequalification.application-submitted`` says."""

    application_id: StrictUuid
    user_id: StrictUuid
    pan_encrypted: Ciphertext
    monthly_income_inr: Amount
    loan_amount_inr: Amount
    loan_type: Annotated[StrictStr, *one_of(LoanType)]


class CreditReportGeneratedData(Body):
    """What ``prequalification.credit-report-generated`` says."""

    application_id: StrictUuid
    user_id: StrictUuid
    cibil_score: Annotated[StrictInt, Field(ge=300, le=900)]


def read_submission_notice(body: bytes) -> SubmissionNotice:
    """Return what a message of the credit service's stream tells, or raise ``NotAnEvent``."""
    event = read_event(body, model=ApplicationSubmittedData, name=ApplicationSubmitted.name)
    return SubmissionNotice(
        event_id=event.id,
        request_id=event.request_id,
        application_id=event.data.application_id,
        pan_ciphertext=event.data.pan_encrypted,
    )


def read_report_notice(body: bytes) -> ReportNotice:
    """Return what a message of the decision service's stream tells, or raise ``NotAnEvent``."""
    event = read_event(body, model=CreditReportGeneratedData, name=CreditReportGenerated.name)
    return ReportNotice(
        event_id=event.id, request_id=event.request_id, application_id=event.data.application_id
    )
