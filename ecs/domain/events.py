"""Facts that other parts of the system act on, and where each is carried."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    Base of every fact written to the outbox.

    ``destination`` is ``rq:<queue>`` (then ``kind`` names the job) or ``amqp:<exchange>``.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    destination: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferAccepted(Event):
    """A person took a credit offer; the account is still to be opened."""

    name: ClassVar[str] = "credit.offer-accepted"
    kind: ClassVar[str] = "open_account"
    destination: ClassVar[str] = "rq:accounts"

    offer_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationWritten(Event):
    """A person was told something in the app; it is still to be sent by e-mail."""

    name: ClassVar[str] = "notifications.notification-written"
    kind: ClassVar[str] = "send_email"
    destination: ClassVar[str] = "rq:mail"

    notification_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSubmitted(Event):
    """
    Somebody applied for a loan's prequalification; a bureau is to be asked for a score.

    ``pan_encrypted`` is base64 of what the cipher made; amounts are rupees as text. ``user_id``
    lets a dead letter be found when the person is forgotten.
    """

    name: ClassVar[str] = "prequalification.application-submitted"
    kind: ClassVar[str] = "application_submitted"
    destination: ClassVar[str] = "amqp:ecs.domain"

    application_id: UUID
    user_id: UUID
    pan_encrypted: str
    monthly_income_inr: str
    loan_amount_inr: str
    loan_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditReportGenerated(Event):
    """A bureau has given a score; the application is to be decided."""

    name: ClassVar[str] = "prequalification.credit-report-generated"
    kind: ClassVar[str] = "credit_report_generated"
    destination: ClassVar[str] = "amqp:ecs.domain"

    application_id: UUID
    user_id: UUID
    cibil_score: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What an event follows from: a request, and a place in a trace (W3C ``traceparent``)."""

    request_id: str | None = None
    trace_parent: str | None = None


EVENTS: Final[tuple[type[Event], ...]] = (
    OfferAccepted,
    NotificationWritten,
    ApplicationSubmitted,
    CreditReportGenerated,
)
DESTINATIONS: Final[frozenset[str]] = frozenset(event.destination for event in EVENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxMessage:
    """An event on its way out; ``attempt`` grows each time it has to be carried again."""

    id: UUID
    name: str
    kind: str
    destination: str
    payload: Mapping[str, Any]
    request_id: str | None
    attempt: int
    created_at: datetime
    trace_parent: str | None = None
