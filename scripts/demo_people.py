"""
Demo people and their finances.

Their months are 30 days long and counted from 1970, so that two looks at different moments see the
same transactions: what happened since the last look can be added to what is known.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from ecs.domain.transactions import IncomingTransaction

MONTHS: Final = 2
MONTH_DAYS: Final = 30
MONTH: Final = timedelta(days=MONTH_DAYS)
DAY: Final = timedelta(days=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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
        story="a first small job, a dozen transactions in all",
        habits=_habits(
            income=(1, 950),
            housing=(1, -360),
            utilities=(2, -90),
            groceries=(5, -220),
            transport=(3, -70),
        ),
    ),
    Persona(
        name="indebted",
        full_name="Ivan Moura",
        story="two fifths of the income go to old debts",
        habits=_habits(
            income=(2, 5_000),
            housing=(1, -1_100),
            groceries=(10, -750),
            utilities=(3, -250),
            debt_payment=(4, -2_000),
            transport=(6, -200),
            leisure=(2, -100),
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
    Persona(
        name="referred",
        full_name="Rui Campos",
        story="has hardly any transactions yet",
        habits=_habits(income=(1, 1_800), groceries=(3, -300)),
    ),
)


def transactions_of(
    persona: Persona, *, user_id: UUID, now: datetime, currency: str
) -> list[IncomingTransaction]:
    """Return what a persona did in the two months before ``now``, oldest first."""
    newest = (now - EPOCH) // MONTH
    drafts = [
        draft
        for month in range(newest - MONTHS, newest + 1)
        for draft in _month_of(persona, month)
        if now - MONTHS * MONTH <= draft.occurred_at < now
    ]
    return _as_transactions(drafts, user_id=user_id, currency=currency)


def month_before(
    persona: Persona, *, user_id: UUID, now: datetime, currency: str
) -> list[IncomingTransaction]:
    """
    Return the persona's month as if it began 30 days before ``now``, oldest first.

    Whatever ``now`` is, each transaction is equally old then, and hours away from the next whole
    day of age: a decision within the hour is always the same.
    """
    drafts = [
        replace(draft, occurred_at=now - MONTH + _inside_a_day(draft.occurred_at - EPOCH))
        for draft in _month_of(persona, 0)
    ]
    return _as_transactions(drafts, user_id=user_id, currency=currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    name: str
    occurred_at: datetime
    amount_minor: int
    category: str | None


def _as_transactions(
    drafts: Iterable[_Draft], *, user_id: UUID, currency: str
) -> list[IncomingTransaction]:
    return [
        IncomingTransaction(
            index=index,
            transaction_id=uuid5(NAMESPACE_URL, f"ecs-demo:{user_id}:{draft.name}"),
            user_id=user_id,
            occurred_at=draft.occurred_at,
            amount_minor=draft.amount_minor,
            currency=currency,
            category=draft.category,
        )
        for index, draft in enumerate(sorted(drafts, key=lambda draft: draft.occurred_at))
    ]


def _inside_a_day(elapsed: timedelta) -> timedelta:
    """Return the same day, between a tenth and nine tenths of it."""
    day, rest = divmod(elapsed, DAY)
    return day * DAY + DAY / 10 + rest * 0.8


def _month_of(persona: Persona, month: int) -> Iterator[_Draft]:
    """Yield one month: every month has the same days and amounts, so that any 30 days add up."""
    dice = random.Random(persona.name)  # noqa: S311  (a story, no secret)
    for habit in persona.habits:
        shares = [dice.uniform(0.7, 1.3) for _ in range(habit.count)]
        for position, share in enumerate(shares):
            day = (position + dice.uniform(0.1, 0.9)) * MONTH_DAYS / habit.count
            yield _Draft(
                name=f"{month}:{habit.category}:{position}",
                occurred_at=EPOCH + month * MONTH + timedelta(minutes=int(day * 1440)),
                amount_minor=round(habit.monthly_minor * share / sum(shares)),
                category=habit.category,
            )
