"""What travels between the consumers of prequalification, and what may become of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from ecs.domain.events import Cause
from ecs.domain.money import Money
from ecs.domain.prequalification.application import LoanType, Status
from ecs.domain.prequalification.decision import Outcome


class Verdict(StrEnum):
    """What became of a message."""

    DONE = "done"
    UNKNOWN_APPLICATION = "unknown_application"
    UNDECRYPTABLE = "undecryptable"
    REPORT_MISSING = "report_missing"
    BUREAU_UNAVAILABLE = "bureau_unavailable"
    UNKNOWN_KEY = "unknown_key"


# Worth another try: the bureau comes back, and a new key may be on its way to this process.
PASSING: Final = frozenset({Verdict.BUREAU_UNAVAILABLE, Verdict.UNKNOWN_KEY})


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionNotice:
    """An application's submission as a message tells of it. Equal ones are the same message."""

    event_id: UUID
    cause: Cause
    application_id: UUID
    pan_ciphertext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportNotice:
    """A report's arrival as a message tells of it. Equal ones are the same message."""

    event_id: UUID
    cause: Cause
    application_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportWanted:
    """
    What is stored about an application that a bureau is to be asked about.

    ``is_open`` is False when it was reported or decided already. The ciphertext is of now: its key
    may be newer than that of the message.
    """

    application_id: UUID
    user_id: UUID
    monthly_income: Money
    loan_type: LoanType
    pan_ciphertext: bytes = field(repr=False)
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionWanted:
    """What is stored about an application that is to be decided. Without a score: no report yet."""

    application_id: UUID
    status: Status
    version: int
    monthly_income: Money
    loan_amount: Money
    cibil_score: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A decided application: from ``version``, to what it came to."""

    application_id: UUID
    version: int
    outcome: Outcome
    request_id: str | None
