"""The events of prequalification as they travel, and what is told of a message that is left."""

import base64
import binascii
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from ecs.domain.events import ApplicationSubmitted, CreditReportGenerated
from ecs.domain.prequalification.pipeline import ReportNotice, SubmissionNotice, Verdict
from ecs.wire.domain_events import EventPart, read_event
from ecs.wire.forms import StrictUuid, invalid

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


Ciphertext = Annotated[bytes, BeforeValidator(parse_ciphertext), Field(repr=False)]
"""What the cipher made, in base64."""


class ApplicationSubmittedData(EventPart):
    """What is used of ``prequalification.application-submitted``; the rest is what is stored."""

    application_id: StrictUuid
    pan_encrypted: Ciphertext


class CreditReportGeneratedData(EventPart):
    """What is used of ``prequalification.credit-report-generated``; the rest is what is stored."""

    application_id: StrictUuid


def read_submission_notice(body: bytes) -> SubmissionNotice:
    """Return what a message of the credit service's stream tells, or raise ``NotAnEvent``."""
    event = read_event(body, model=ApplicationSubmittedData, name=ApplicationSubmitted.name)
    return SubmissionNotice(
        event_id=event.id,
        cause=event.cause,
        application_id=event.data.application_id,
        pan_ciphertext=event.data.pan_encrypted,
    )


def read_report_notice(body: bytes) -> ReportNotice:
    """Return what a message of the decision service's stream tells, or raise ``NotAnEvent``."""
    event = read_event(body, model=CreditReportGeneratedData, name=CreditReportGenerated.name)
    return ReportNotice(
        event_id=event.id, cause=event.cause, application_id=event.data.application_id
    )
