"""Money as whole cents, so that no amount is ever a float."""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, Self

CENTS_PER_UNIT: Final = 100
AMOUNT_FORM: Final = re.compile(r"-?[0-9]{1,12}\.[0-9]{2}")


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in whole cents of one currency."""

    cents: int

    def __add__(self, other: Self) -> "Money":
        return Money(self.cents + other.cents)

    def __sub__(self, other: Self) -> "Money":
        return Money(self.cents - other.cents)

    def __str__(self) -> str:
        return self.grouped.replace(",", "")

    @property
    def grouped(self) -> str:
        """The amount as people read it, such as ``4,550.00``."""
        units, cents = divmod(abs(self.cents), CENTS_PER_UNIT)
        return f"{'-' if self.cents < 0 else ''}{units:,}.{cents:02d}"

    @classmethod
    def parse(cls, text: str) -> "Money":
        """
        Read an amount as it is written at our borders, such as ``-12.50``.

        Raises:
            ValueError: the text is not of that form; the text is never echoed.
        """
        if not AMOUNT_FORM.fullmatch(text):
            raise ValueError("not an amount with two decimals")
        return cls(int(text.replace(".", "")))

    @classmethod
    def nearest(cls, amount: float) -> "Money":
        """Return the amount in units rounded once to cents, half to even."""
        return cls(int((Decimal(amount) * CENTS_PER_UNIT).to_integral_value(ROUND_HALF_EVEN)))

    @property
    def amount(self) -> float:
        """The amount in units, for formulas that work in binary64."""
        return self.cents / CENTS_PER_UNIT

    def times(self, factor: Decimal) -> "Money":
        """Scale by ``factor``, rounding half to even."""
        return Money(int((self.cents * factor).to_integral_value(ROUND_HALF_EVEN)))

    def down_to(self, step: "Money") -> "Money":
        """Return the largest multiple of ``step`` that is not above this amount."""
        return Money(self.cents - self.cents % step.cents)
