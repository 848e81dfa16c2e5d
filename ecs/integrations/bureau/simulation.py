"""A bureau that knows nobody: its score follows from what it is told, the same for ever."""

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal
from uuid import UUID

from ecs.domain.money import Money
from ecs.domain.prequalification.application import CreditEnquiry, LoanType
from ecs.integrations.exceptions import BureauUnavailable

NAME: Final = "simulation-1"
FIXED: Final[Mapping[str, int]] = MappingProxyType({"ABCDE1234F": 790, "FGHIJ5678K": 610})
BASE: Final = 650
SCORE_MIN: Final = 300
SCORE_MAX: Final = 900
HIGH_INCOME: Final = Money(75_000_00)
HIGH_INCOME_POINTS: Final = 40
LOW_INCOME: Final = Money(30_000_00)
LOW_INCOME_POINTS: Final = -20
LOAN_TYPE_POINTS: Final[Mapping[LoanType, int]] = MappingProxyType(
    {LoanType.PERSONAL: -10, LoanType.HOME: 10, LoanType.AUTO: 0}
)
TERM_MAX: Final = 5

Behaviour = Literal["answers", "refuses", "hangs"]
"""What the bureau does when it is asked; the last two are for drills."""


class SimulatedBureau:
    """Stands in for a credit bureau."""

    def __init__(self, key: str, *, behaviour: Behaviour = "answers") -> None:
        self.name = NAME
        self._key = key.encode(errors="surrogateescape")
        self._behaviour = behaviour

    async def score(self, enquiry: CreditEnquiry) -> int:
        """Return a credit score, 300 to 900, or do what an outage does."""
        if self._behaviour == "refuses":
            raise BureauUnavailable("the simulation refuses")
        if self._behaviour == "hangs":
            await asyncio.Event().wait()
        return simulated_score(enquiry, key=self._key)


def simulated_score(enquiry: CreditEnquiry, *, key: bytes) -> int:
    """Return the score that the simulation gives to these facts."""
    fixed = FIXED.get(enquiry.pan.text)
    if fixed is not None:
        return fixed
    points = (
        BASE
        + _income_points(enquiry.monthly_income)
        + LOAN_TYPE_POINTS[enquiry.loan_type]
        + term(enquiry.application_id, key=key)
    )
    return clamped(points)


def term(application_id: UUID, *, key: bytes) -> int:
    """Return -5 to 5: chance, but for one application always the same."""
    digest = hmac.digest(key, application_id.bytes, hashlib.sha256)
    return int.from_bytes(digest[:8]) % (2 * TERM_MAX + 1) - TERM_MAX


def clamped(points: int) -> int:
    """Return the nearest score that exists."""
    return max(SCORE_MIN, min(SCORE_MAX, points))


def _income_points(monthly_income: Money) -> int:
    if monthly_income > HIGH_INCOME:
        return HIGH_INCOME_POINTS
    if monthly_income < LOW_INCOME:
        return LOW_INCOME_POINTS
    return 0
