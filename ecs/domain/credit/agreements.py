"""Offers and accounts as they are kept: their states, and which state may follow which."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from ecs.domain.money import Money


class OfferStatus(StrEnum):
    """Where a decision stands. The values are part of the public API."""

    OFFERED = "offered"
    DENIED = "denied"
    REFERRED = "referred"
    ACCEPTING = "accepting"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    VOID = "void"


ALLOWED: Final[dict[OfferStatus, frozenset[OfferStatus]]] = {
    OfferStatus.OFFERED: frozenset({OfferStatus.ACCEPTING, OfferStatus.EXPIRED}),
    OfferStatus.ACCEPTING: frozenset({OfferStatus.ACCEPTED, OfferStatus.OFFERED, OfferStatus.VOID}),
    OfferStatus.DENIED: frozenset(),
    OfferStatus.REFERRED: frozenset(),
    OfferStatus.ACCEPTED: frozenset(),
    OfferStatus.EXPIRED: frozenset(),
    OfferStatus.VOID: frozenset(),
}
assert set(ALLOWED) == set(OfferStatus)  # A new status cannot be forgotten here.

ACTIVE: Final = frozenset({OfferStatus.OFFERED, OfferStatus.ACCEPTING})
TAKEN: Final = frozenset({OfferStatus.ACCEPTING, OfferStatus.ACCEPTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAssessment:
    """The record behind a decision; ``record`` holds the steps as plain JSON values."""

    id: UUID
    score: int | None
    risk_score: float | None
    probability_of_default: float | None
    risk_category: str | None
    model_id: str
    model_version: str
    policy_id: str
    policy_version: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditOffer:
    """One decision and, when it was favourable, the terms. ``apr`` is a fraction a year."""

    id: UUID
    user_id: UUID
    status: OfferStatus
    credit_type: str | None
    credit_limit: Money | None
    apr: Decimal | None
    currency: str
    tenor_months: int | None
    expires_at: datetime | None
    created_at: datetime
    job_id: UUID | None
    assessment: StoredAssessment


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditAccount:
    """An open line of credit."""

    id: UUID
    offer_id: UUID
    credit_type: str
    credit_limit: Money
    available_credit: Money
    apr: Decimal
    currency: str
    status: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """An accepted offer at the moment its account is to be opened, and what speaks against it."""

    offer_id: UUID
    user_id: UUID
    status: OfferStatus
    credit_limit: Money
    currency: str
    user_enabled: bool
    account_exists: bool
    request_id: str | None = None


class AcceptanceRefusal(StrEnum):
    """Why an accepted offer becomes no account. The values are part of the public API."""

    ACCOUNT_EXISTS = "account_exists"
    OFFER_NOT_ACCEPTING = "offer_not_accepting"
    USER_DISABLED = "user_disabled"


def refuse_acceptance(acceptance: Acceptance) -> AcceptanceRefusal | None:
    """Return the rule that no longer holds, or None. Expiry is none: the accept was in time."""
    if acceptance.status is not OfferStatus.ACCEPTING:
        return AcceptanceRefusal.OFFER_NOT_ACCEPTING
    if acceptance.account_exists:
        return AcceptanceRefusal.ACCOUNT_EXISTS
    if not acceptance.user_enabled:
        return AcceptanceRefusal.USER_DISABLED
    return None
