"""Transactions on their way in: what one item of a batch must satisfy, and its verdict."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

FUTURE_TOLERANCE: Final = timedelta(minutes=5)
AGE_MAX: Final = timedelta(days=730)


class Verdict(StrEnum):
    """What became of one item. The values are part of the public API."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    INVALID_FIELD = "invalid_field"
    UNKNOWN_USER = "unknown_user"
    FUTURE_TIMESTAMP = "future_timestamp"
    TOO_OLD = "too_old"
    ID_CONFLICT = "id_conflict"
    CURRENCY_MISMATCH = "currency_mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingTransaction:
    """One well-formed item of a batch; ``index`` is its place there. Positive is money in."""

    index: int
    transaction_id: UUID
    user_id: UUID
    occurred_at: datetime
    amount_minor: int
    currency: str
    category: str | None


def refusal(item: IncomingTransaction, *, now: datetime, currency: str) -> Verdict | None:
    """Return why ``item`` cannot be taken at ``now``, or None when nothing speaks against it."""
    if item.currency != currency:
        return Verdict.CURRENCY_MISMATCH
    if item.occurred_at > now + FUTURE_TOLERANCE:
        return Verdict.FUTURE_TIMESTAMP
    if item.occurred_at < now - AGE_MAX:
        return Verdict.TOO_OLD
    return None
