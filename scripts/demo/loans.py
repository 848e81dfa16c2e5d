"""Three of the ten also ask for the prequalification of a loan: what came, whatever it was."""

import asyncio
import random
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ecs.domain.prequalification.application import LoanType, Status
from scripts.demo.walk import POLL_SECONDS, Run, Visit

PATIENCE_SECONDS: Final = 15.0
DIGITS: Final = 4
LETTERS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody would like to borrow, and earns a month, in whole rupees."""

    loan_type: LoanType
    amount: int
    income: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of a wish; pending, when nobody has decided in time."""

    wish: Wish
    status: str
    score: int | None
    most: str | None


# Modest, far too much, and in between; the score is the simulated bureau's, by the number's holder.
WISHES: Final = (
    Wish(loan_type=LoanType.PERSONAL, amount=200_000, income=90_000),
    Wish(loan_type=LoanType.HOME, amount=9_000_000, income=30_000),
    Wish(loan_type=LoanType.AUTO, amount=700_000, income=60_000),
)


async def ask_for_loans(run: Run, visits: Sequence[Visit]) -> list[Reply]:
    """
    Return what the first of the ten are told, one wish each.

    Raises:
        DemoError: an application is not taken in.
    """
    asked = zip(visits, WISHES, strict=False)
    return list(await asyncio.gather(*(_ask(run, visit, wish) for visit, wish in asked)))


def random_pan(chance: random.Random) -> str:
    """Return a PAN of a person: nobody's, and never the same twice."""
    letters = "".join(chance.choices(string.ascii_uppercase, k=LETTERS))
    digits = "".join(chance.choices(string.digits, k=DIGITS))
    first, last = chance.choices(string.ascii_uppercase, k=2)
    return f"{letters}P{first}{digits}{last}"


async def _ask(run: Run, visit: Visit, wish: Wish) -> Reply:
    person = await run.anybody.as_person(email=visit.email, password=run.password)
    form = {
        "pan_number": random_pan(random.SystemRandom()),
        "applicant_name": visit.role.full_name,
        "monthly_income_inr": wish.income,
        "loan_amount_inr": wish.amount,
        "loan_type": wish.loan_type,
    }
    path = "/api/v1/prequalification/applications"
    taken = await person.post(path, form, expect=(202,))
    status = f"{path}/{taken.body['application_id']}/status"
    deadline = time.monotonic() + PATIENCE_SECONDS
    shown: dict[str, Any] = (await person.get(status)).body
    while shown["status"] == Status.PENDING and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        shown = (await person.get(status)).body
    return Reply(
        wish=wish,
        status=shown["status"],
        score=shown["cibil_score"],
        most=shown["max_approved_amount_inr"],
    )
