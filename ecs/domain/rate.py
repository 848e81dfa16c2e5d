"""Rates, scores and factors: fractions with a fixed number of decimals when printed or stored."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

RATE_PLACES: Final = 6


def quantised(value: float | Decimal, *, places: int = RATE_PLACES) -> Decimal:
    """Return ``value`` with ``places`` decimals, half to even, as it is printed and stored."""
    return Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
