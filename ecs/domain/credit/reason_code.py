"""The codes of the public API that say why a decision is as it is."""

from enum import StrEnum
from typing import Final


class ReasonCode(StrEnum):
    """What spoke against a person, or what kept us from an answer."""

    INCOME_LEVEL = "R01"
    SPENDING_CLOSE_TO_INCOME = "R02"
    IRREGULAR_INCOME = "R03"
    DAYS_SINCE_INCOME = "R04"
    FALLING_BALANCE = "R05"
    DEBT_PAYMENTS = "R06"
    FEES = "R07"
    GAMBLING = "R08"
    CASH_USE = "R09"
    SHORT_HISTORY = "R10"
    TOO_LITTLE_DATA = "R11"
    AFFORDABILITY = "R12"
    NOT_ASSESSABLE_NOW = "R13"


CARD_CODES: Final = frozenset(ReasonCode) - {
    ReasonCode.TOO_LITTLE_DATA,
    ReasonCode.AFFORDABILITY,
    ReasonCode.NOT_ASSESSABLE_NOW,
}
