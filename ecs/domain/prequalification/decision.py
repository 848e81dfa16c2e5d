"""The decision about an application: a score, an income and a loan in, a status and why out."""

from dataclasses import dataclass
from typing import Final

from ecs.domain.money import Money
from ecs.domain.prequalification.application import Status

POLICY: Final = "prequalification-1.0.0"
SCORE_MIN: Final = 650
TENOR_MONTHS: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an application comes to. ``max_approved`` is there if, and only if, it is approved."""

    status: Status
    reason: str
    max_approved: Money | None = None


def decide(*, score: int, monthly_income: Money, loan_amount: Money) -> Outcome:
    """
    Return the outcome, the same for the same facts.

    The income must exceed the loan spread over 48 months; in whole paise, so that nothing is
    rounded.
    """
    if score < SCORE_MIN:
        return Outcome(
            status=Status.REJECTED,
            reason=f"The credit score of {score} is below the minimum of {SCORE_MIN}.",
        )
    affordable = affordable_loan(monthly_income)
    if affordable > loan_amount:
        return Outcome(
            status=Status.PRE_APPROVED,
            reason=(
                f"The credit score of {score} reaches {SCORE_MIN}, and the monthly income exceeds"
                f" the loan spread over {TENOR_MONTHS} months."
            ),
            max_approved=affordable,
        )
    return Outcome(
        status=Status.MANUAL_REVIEW,
        reason=(
            f"The credit score of {score} reaches {SCORE_MIN}, but the monthly income does not"
            f" exceed the loan spread over {TENOR_MONTHS} months; an officer will decide."
        ),
    )


def affordable_loan(monthly_income: Money) -> Money:
    """Return the largest loan that is ever pre-approved: 48 monthly incomes."""
    return Money(TENOR_MONTHS * monthly_income.cents)


def review(*, status: Status, reason: str, monthly_income: Money) -> Outcome:
    """Return what an officer decided: ``PRE_APPROVED`` or ``REJECTED``, for the reason given."""
    approved = status is Status.PRE_APPROVED
    return Outcome(
        status=status,
        reason=reason,
        max_approved=affordable_loan(monthly_income) if approved else None,
    )
