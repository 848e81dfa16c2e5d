"""Who is calling: a person, or a client program."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class PrincipalKind(StrEnum):
    """The two sorts of callers. No route serves both with the same rule."""

    USER = "user"
    CLIENT = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller whose token was checked, with what it may still do at this moment."""

    kind: PrincipalKind
    id: UUID
    scopes: frozenset[str]
    token_id: UUID

    def lacks(self, scopes: frozenset[str]) -> frozenset[str]:
        """Return the scopes of ``scopes`` that this caller does not hold."""
        return scopes - self.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says, once its signature, its time and its form were found good."""

    subject: UUID
    kind: PrincipalKind
    scopes: frozenset[str]
    token_version: int
    token_id: UUID
    issued_at: datetime
    expires_at: datetime
