"""People and client programs, as the rest of the system knows them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

USER_SCOPES: Final[frozenset[str]] = frozenset(
    {
        "account:read",
        "consents:write",
        "credit:apply",
        "emotions:read",
        "notifications:read",
        "offers:accept",
        "offers:read",
        "prequalification:read",
        "prequalification:write",
    }
)
CLIENT_SCOPES: Final[frozenset[str]] = frozenset(
    {"emotions:ingest", "prequalification:review", "transactions:write"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person. Personal data stays out of ``repr``, so that it cannot reach a log."""

    id: UUID
    email: str = field(repr=False)
    full_name: str = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCredential:
    """What a login is checked against."""

    user_id: UUID
    password_hash: str = field(repr=False)
    token_version: int
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredential:
    """What a client program's login is checked against."""

    client_id: UUID
    secret_hmac: bytes = field(repr=False)
    scopes: frozenset[str]
    token_version: int
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether the holder of a token still may use it, and what it may still do."""

    token_version: int
    enabled: bool
    scopes: frozenset[str]
