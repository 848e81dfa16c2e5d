"""The audit of access to protected data: who touched what, and seals that show tampering."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

# On whose behalf something was done when no caller asked for it.
SYSTEM: Final = "system"


class AuditAction(StrEnum):
    """What was done to a PAN."""

    ENCRYPT = "ENCRYPT"
    DECRYPT = "DECRYPT"
    ROTATE = "ROTATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """
    One access, as it is noted.

    ``actor`` says who: ``user:<id>``, ``client:<id>``, ``operator`` or ``system``. ``service`` is
    the program that did it.
    """

    actor: str
    service: str
    action: AuditAction
    application_id: UUID
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow(AuditEntry):
    """An entry as it is stored; ids grow, with gaps."""

    id: int
    at: datetime
