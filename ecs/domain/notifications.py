"""What people are told, in plain words."""

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from ecs.domain.money import Money

FIRST_NAME_LETTERS_MAX: Final = 30
INSIDE_A_NAME: Final = frozenset("'\u2019-")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedAccount:
    """The terms of an account, as they are told. ``apr`` is a fraction a year."""

    credit_limit: Money
    currency: str
    credit_type: str
    apr: Decimal
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A notification on its way to somebody's mailbox. Nothing personal is in its ``repr``."""

    notification_id: UUID
    kind: NotificationKind
    recipient: str = field(repr=False)
    full_name: str = field(repr=False)
    title: str = field(repr=False)
    body: str = field(repr=False)
    written_at: datetime
    account: OpenedAccount | None = field(repr=False)


def first_name(full_name: str) -> str | None:
    """
    Return what to call somebody, or None when it does not look like a name.

    Anybody can register somebody else's address under any "name": what might be read as a link or
    as a message of its own is not repeated to that person.
    """
    word = next(iter(unicodedata.normalize("NFC", full_name).split()), "")
    letters = [mark for mark in word if mark not in INSIDE_A_NAME]
    plain = all(unicodedata.category(mark)[0] in "LM" for mark in letters)
    return word if letters and plain and len(word) <= FIRST_NAME_LETTERS_MAX else None


def account_opened(*, credit_limit: str, currency: str) -> Message:
    """Return the good news; ``credit_limit`` is an amount as people read it, "4,550.00"."""
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
