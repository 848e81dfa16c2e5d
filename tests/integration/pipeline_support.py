"""Applications on their way through the bureau and the decision, stored directly."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

from ecs.bootstrap import Application
from ecs.domain.events import Cause
from ecs.domain.prequalification.application import CreditEnquiry
from ecs.domain.prequalification.pan import Pan
from ecs.domain.prequalification.pipeline import ReportNotice, SubmissionNotice
from ecs.domain.telemetry import UNMEASURED
from ecs.integrations.pan_cipher import AesGcmPanCipher
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.credit_reports_service import CreditReportsService
from ecs.services.ports import Bureau, PanCipher
from tests.builders import ENCRYPTION_KEY

KEYRING: Final = {"1": ENCRYPTION_KEY}
CIPHER: Final = AesGcmPanCipher(KEYRING, "1")
SCORE: Final = 700
PAN: Final = "BCDPE2345G"
TABLES: Final = (
    "prequalification_status_changes, credit_reports, prequalification_applications,"
    " audit_log, processed_messages, outbox_events"
)
_ADD: Final = """
INSERT INTO prequalification_applications (id, user_id, pan_ciphertext, pan_blind_index, pan_masked,
    applicant_name, loan_type, monthly_income_minor, loan_amount_minor, status, duplicate_period)
VALUES ($1, $2, $3, $4, 'XXXXXX345G', 'Asha Rao', $5, $6, $7, 'PENDING',
        tstzrange(now(), now() + interval '30 days'))
"""
_ADD_STATUS: Final = (
    "INSERT INTO prequalification_status_changes (application_id, version, status)"
    " VALUES ($1, 1, 'PENDING')"
)
_ADD_REPORT: Final = (
    "INSERT INTO credit_reports (application_id, cibil_score, bureau) VALUES ($1, $2, 'script')"
)
_STATE: Final = """
SELECT a.status, a.version, a.max_approved_minor, r.cibil_score,
       (SELECT array_agg(c.status ORDER BY c.version)
        FROM prequalification_status_changes c WHERE c.application_id = a.id) AS history,
       (SELECT count(*) FROM outbox_events o
        WHERE o.payload->>'application_id' = a.id::text) AS events,
       (SELECT count(*) FROM audit_log l
        WHERE l.application_id = a.id AND l.action = 'DECRYPT') AS decryptions
FROM prequalification_applications a LEFT JOIN credit_reports r ON r.application_id = a.id
WHERE a.id = $1
"""


class Asked:
    """A bureau that remembers what it was asked, and does what it is told before it answers."""

    name = "script"

    def __init__(self, first: Any = None, *, score: int = SCORE) -> None:
        self.enquiries: list[CreditEnquiry] = []
        self.first = first
        self.given = score

    async def score(self, enquiry: CreditEnquiry) -> int:
        self.enquiries.append(enquiry)
        if self.first is not None:
            await self.first(enquiry)
        return self.given


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is stored about an application."""

    status: str
    version: int
    max_approved_minor: int | None
    cibil_score: int | None
    history: list[str] = field(default_factory=list)
    events: int
    decryptions: int


async def an_application(  # noqa: PLR0913  (all but two have a default)
    owner: Any,
    user_id: UUID,
    *,
    pan: str = PAN,
    income: int = 50_000_00,
    loan: int = 500_000_00,
    loan_type: str = "AUTO",
    cipher: PanCipher = CIPHER,
    score: int | None = None,
) -> UUID:
    """Store a pending application directly, reported when a score is given; return its id."""
    application_id = uuid4()
    ciphertext = cipher.encrypt(Pan(pan), application_id=application_id)
    blind_index = uuid4().bytes * 2
    await owner.execute(
        _ADD, application_id, user_id, ciphertext, blind_index, loan_type, income, loan
    )
    await owner.execute(_ADD_STATUS, application_id)
    if score is not None:
        await owner.execute(_ADD_REPORT, application_id, score)
    return application_id


async def a_submission(owner: Any, application_id: UUID, **changes: Any) -> SubmissionNotice:
    """The message that tells of an application, with the ciphertext that is stored."""
    ciphertext = await owner.fetchval(
        "SELECT pan_ciphertext FROM prequalification_applications WHERE id = $1", application_id
    )
    values: dict[str, Any] = {
        "event_id": uuid4(),
        "cause": Cause(request_id="req-submit"),
        "application_id": application_id,
        "pan_ciphertext": ciphertext or b"nothing",
    }
    return SubmissionNotice(**(values | changes))


def a_notice(application_id: UUID, *, event_id: UUID | None = None) -> ReportNotice:
    """A message that tells of a report."""
    return ReportNotice(
        event_id=event_id or uuid4(),
        cause=Cause(request_id="req-submit"),
        application_id=application_id,
    )


def reports_of(
    ecs: Application, bureau: Bureau, *, cipher: PanCipher = CIPHER
) -> CreditReportsService:
    """The use case on the same database, with a bureau of the test."""
    return CreditReportsService(
        unit_of_work=ecs.credit_reports.unit_of_work,
        cipher=cipher,
        bureau=bureau,
        new_id=uuid4,
        measures=UNMEASURED,
    )


async def state_of(owner: Any, application_id: UUID) -> State:
    """What is stored about an application now."""
    return State(**dict(await owner.fetchrow(_STATE, application_id)))


async def states_of(owner: Any, ids: Sequence[UUID]) -> list[State]:
    return [await state_of(owner, one) for one in ids]


async def forget_everything(owner: Any) -> None:
    """Every example of a law begins with nothing."""
    await owner.execute(f"TRUNCATE {TABLES}")


class Broken(Exception):
    """A process that ends here."""


class BreakingUnits:
    """Units of work of which the ``at``-th (from 1) ends before it can begin."""

    def __init__(self, ecs: Application, *, at: int) -> None:
        self.made = 0
        self._at = at
        self._make = ecs.credit_reports.unit_of_work

    def __call__(self) -> UnitOfWork:
        self.made += 1
        if self.made == self._at:
            raise Broken
        return self._make()
