"""Demo people and their finances: the same people every time, seen from a given moment."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from ecs.domain.transactions import IncomingTransaction

MONTHS: Final = 2
MONTH_DAYS: Final = 30
MINUTES_A_DAY: Final = 1440


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """So many transactions a month of one category, so much money in all, in cents, signed."""

    category: str | None
    count: int
    monthly_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """A demo person: who it is, and how money comes and goes in a month."""

    name: str
    full_name: str
    story: str
    habits: tuple[Habit, ...]

    @property
    def email(self) -> str:
        """The address the person logs in with."""
        return f"{self.name.replace('_', '.')}@demo.example.com"


def _habits(**monthly: tuple[int, int]) -> tuple[Habit, ...]:
    return tuple(
        Habit(category=category, count=count, monthly_minor=amount * 100)
        for category, (count, amount) in monthly.items()
    )


PERSONAS: Final[tuple[Persona, ...]] = (
    Persona(
        name="excellent",
        full_name="Elena Prado",
        story="earns well, spends half of it, owes nothing",
        habits=_habits(
            income=(2, 12_000),
            housing=(1, -2_400),
            utilities=(3, -450),
            groceries=(14, -1_300),
            transport=(8, -350),
            dining=(8, -600),
            leisure=(4, -400),
            health=(2, -250),
        ),
    ),
    Persona(
        name="steady",
        full_name="Sergio Lima",
        story="one salary, ordinary bills, a small instalment",
        habits=_habits(
            income=(1, 6_000),
            housing=(1, -1_600),
            utilities=(3, -400),
            groceries=(12, -900),
            transport=(10, -300),
            dining=(6, -350),
            shopping=(4, -400),
            debt_payment=(1, -450),
        ),
    ),
    Persona(
        name="thin_file",
        full_name="Teresa Rocha",
        story="has hardly any transactions yet",
        habits=_habits(income=(1, 1_800), groceries=(3, -300)),
    ),
    Persona(
        name="indebted",
        full_name="Ivan Moura",
        story="half of the income goes to old debts",
        habits=_habits(
            income=(1, 5_000),
            housing=(1, -1_500),
            groceries=(10, -1_100),
            utilities=(3, -500),
            debt_payment=(4, -2_600),
            fee=(3, -90),
            transport=(6, -250),
        ),
    ),
    Persona(
        name="gambler",
        full_name="Gustavo Reis",
        story="a good salary, a third of it gambled away",
        habits=_habits(
            income=(1, 7_000),
            housing=(1, -1_500),
            groceries=(8, -800),
            gambling=(18, -2_600),
            cash=(6, -900),
            fee=(2, -60),
            dining=(5, -400),
        ),
    ),
    Persona(
        name="denied",
        full_name="Dora Nunes",
        story="spends far more than comes in, pays fees for it",
        habits=_habits(
            income=(2, 1_500),
            housing=(1, -1_200),
            groceries=(9, -800),
            shopping=(9, -1_400),
            fee=(8, -280),
            cash=(8, -900),
            debt_payment=(3, -900),
            gambling=(6, -500),
        ),
    ),
)


def transactions_of(
    persona: Persona, *, user_id: UUID, now: datetime, currency: str
) -> list[IncomingTransaction]:
    """Return the last two months of a persona, newest last; the same for the same ``now``."""
    dice = random.Random(persona.name)  # noqa: S311  (a story, no secret)
    drafts = [
        draft
        for month in range(MONTHS)
        for habit in persona.habits
        for draft in _month_of(habit, month=month, now=now, dice=dice)
    ]
    return [
        IncomingTransaction(
            index=index,
            transaction_id=uuid5(NAMESPACE_URL, f"ecs-demo:{user_id}:{index}"),
            user_id=user_id,
            occurred_at=occurred_at,
            amount_minor=amount_minor,
            currency=currency,
            category=category,
        )
        for index, (occurred_at, amount_minor, category) in enumerate(
            sorted(drafts, key=lambda draft: draft[0])
        )
    ]


def _month_of(
    habit: Habit, *, month: int, now: datetime, dice: random.Random
) -> Iterator[tuple[datetime, int, str | None]]:
    shares = [dice.uniform(0.7, 1.3) for _ in range(habit.count)]
    for position, share in enumerate(shares):
        day = month * MONTH_DAYS + (position + dice.uniform(0.1, 0.9)) * MONTH_DAYS / habit.count
        minutes = int(day * MINUTES_A_DAY)
        amount = round(habit.monthly_minor * share / sum(shares))
        yield now - timedelta(minutes=minutes), amount, habit.category
