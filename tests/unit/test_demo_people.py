from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs.domain.credit.decision import ApplicationInputs
from ecs.domain.credit.emotional_history import EmotionalFacts, EmotionalHistory
from ecs.domain.credit.history import Category, TransactionHistory
from ecs.domain.transactions import IncomingTransaction, refusal
from ecs.integrations.risk_model_file import load_risk_model
from ecs.services.credit_service import CreditOfferCalculator
from scripts.demo_people import PERSONAS, Persona, month_before, transactions_of

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
SOMEBODY = UUID(int=7)
DAY = timedelta(days=1)
MONTH = 30 * DAY
EXPECTED = {
    "excellent": "offered",
    "steady": "offered",
    "thin_file": "offered",
    "indebted": "offered",
    "gambler": "denied",
    "denied": "denied",
    "referred": "referred",
}

each_persona = pytest.mark.parametrize("persona", PERSONAS, ids=lambda persona: persona.name)


def story(persona: Persona, now: datetime = NOW) -> list[IncomingTransaction]:
    return transactions_of(persona, user_id=SOMEBODY, now=now, currency="BRL")


def decided(persona: Persona, now: datetime = NOW) -> str:
    """How an application at ``now`` ends, by the files this release ships."""
    rows = [item for item in story(persona, now) if now - MONTH <= item.occurred_at < now]
    model = load_risk_model()
    calculator = CreditOfferCalculator(scorecard=model.scorecard, policy=model.policy)
    return calculator.calculate(
        ApplicationInputs(
            history=TransactionHistory(
                ids=tuple(row.transaction_id for row in rows),
                occurred_at=tuple(row.occurred_at for row in rows),
                amounts_minor=tuple(row.amount_minor for row in rows),
                categories=tuple(row.category for row in rows),
            ),
            now=now,
            user_created_at=now,
            window_days=30,
            emotion=EmotionalFacts(consent_ids=(), history=EmotionalHistory(), window_days=7),
        )
    ).status.value


@each_persona
class TestStory:
    def test_is_the_same_every_time(self, persona: Persona) -> None:
        assert story(persona) == story(persona)

    def test_of_two_moments_agrees_on_what_both_have_seen(self, persona: Persona) -> None:
        nine_days_on = NOW + timedelta(days=9)
        before = {item.transaction_id: item for item in story(persona)}
        after = {item.transaction_id: item for item in story(persona, nine_days_on)}
        both = before.keys() & after.keys()
        assert both == {i for i, item in after.items() if item.occurred_at < NOW}
        for transaction_id in both:
            assert before[transaction_id].occurred_at == after[transaction_id].occurred_at
            assert before[transaction_id].amount_minor == after[transaction_id].amount_minor
            assert before[transaction_id].category == after[transaction_id].category

    def test_is_taken_by_the_feed_as_it_is(self, persona: Persona) -> None:
        items = story(persona)
        assert [item.index for item in items] == list(range(len(items)))
        assert len(items) <= 1000
        assert len({item.transaction_id for item in items}) == len(items)
        assert all(refusal(item, now=NOW, currency="BRL") is None for item in items)
        assert all(item.amount_minor for item in items)
        assert {item.category for item in items} <= {None, *Category}

    def test_goes_forward_in_time_and_stays_in_two_months(self, persona: Persona) -> None:
        moments = [item.occurred_at for item in story(persona)]
        assert moments == sorted(moments)
        assert moments[0] >= NOW - 2 * MONTH
        assert moments[-1] < NOW

    def test_adds_up_to_the_habits(self, persona: Persona) -> None:
        for habit in persona.habits:
            total = sum(i.amount_minor for i in story(persona) if i.category == habit.category)
            # Each row is rounded by itself: at most half a cent each, two months.
            assert abs(total - 2 * habit.monthly_minor) <= habit.count


@each_persona
class TestMonthBeforeNow:
    def test_is_as_old_whenever_one_looks(self, persona: Persona) -> None:
        def ages(now: datetime) -> list[tuple[timedelta, int, str | None]]:
            month = month_before(persona, user_id=SOMEBODY, now=now, currency="BRL")
            return [(now - one.occurred_at, one.amount_minor, one.category) for one in month]

        assert ages(NOW) == ages(NOW + timedelta(days=11, hours=7, seconds=13))

    def test_is_never_near_a_whole_day_of_age(self, persona: Persona) -> None:
        for one in month_before(persona, user_id=SOMEBODY, now=NOW, currency="BRL"):
            assert timedelta(hours=2) < (NOW - one.occurred_at) % DAY < timedelta(hours=22)

    def test_tells_what_any_month_tells(self, persona: Persona) -> None:
        month = month_before(persona, user_id=SOMEBODY, now=NOW, currency="BRL")
        assert all(NOW - MONTH < one.occurred_at < NOW for one in month)
        assert Counter((one.amount_minor, one.category) for one in month) == Counter(
            (one.amount_minor, one.category)
            for one in story(persona)
            if one.occurred_at >= NOW - MONTH
        )


@pytest.mark.parametrize("name", EXPECTED)
def test_ends_as_it_is_told(name: str) -> None:
    (persona,) = (persona for persona in PERSONAS if persona.name == name)
    assert decided(persona) == EXPECTED[name]


def test_of_everybody_the_end_is_known() -> None:
    assert set(EXPECTED) == {persona.name for persona in PERSONAS}


@settings(max_examples=30, deadline=None)
@given(now=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  (hypothesis wants naive bounds)
def test_ends_the_same_whenever_it_is_seeded(now: datetime) -> None:
    for persona in PERSONAS:
        assert decided(persona, now) == decided(persona)


def test_nobody_shares_an_address() -> None:
    assert len({persona.email for persona in PERSONAS}) == len(PERSONAS)
    assert {persona.email.partition("@")[2] for persona in PERSONAS} == {"demo.example.com"}
