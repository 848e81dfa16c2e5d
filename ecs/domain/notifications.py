"""What people are told, in plain words."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class NotificationKind(StrEnum):
    """What a message is about. The values are part of the public API."""

    ACCOUNT_OPENED = "account_opened"
    ACCEPTANCE_REFUSED = "acceptance_refused"
    ACCEPTANCE_FAILED = "acceptance_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that is still to be written down."""

    kind: NotificationKind
    title: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A message that somebody has, read or not."""

    id: UUID
    kind: NotificationKind
    title: str
    body: str
    created_at: datetime
    read_at: datetime | None


def account_opened(*, credit_limit: str, currency: str) -> Message:
    """Return the good news; ``credit_limit`` is an amount as people read it, "4550.00"."""
    return Message(
        kind=NotificationKind.ACCOUNT_OPENED,
        title="Your credit account is open",
        body=f"You can use up to {currency} {credit_limit} from now on.",
    )


def acceptance_refused(explanation: str) -> Message:
    """Return the news that the offer could not become an account, and why."""
    return Message(
        kind=NotificationKind.ACCEPTANCE_REFUSED,
        title="Your offer could not become an account",
        body=f"{explanation} The offer is closed; nothing was charged.",
    )


def acceptance_failed() -> Message:
    """Return the news that we failed, and that the offer still stands."""
    return Message(
        kind=NotificationKind.ACCEPTANCE_FAILED,
        title="We could not open your account yet",
        body="Something went wrong on our side. Your offer stands; please accept it once more.",
    )
