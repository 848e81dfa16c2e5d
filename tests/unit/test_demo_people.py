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
from scripts.demo_people import PERSONAS, Persona, transactions_of

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
SOMEBODY = UUID(int=7)
MONTH = timedelta(days=30)
EXPECTED = {
    "excellent": "offered",
    "steady": "offered",
    "thin_file": "referred",
    "denied": "denied",
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


@pytest.mark.parametrize("name", EXPECTED)
def test_ends_as_it_is_told(name: str) -> None:
    (persona,) = (persona for persona in PERSONAS if persona.name == name)
    assert decided(persona) == EXPECTED[name]


@settings(max_examples=30, deadline=None)
@given(now=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  (hypothesis wants naive bounds)
def test_ends_the_same_whenever_it_is_seeded(now: datetime) -> None:
    for persona in PERSONAS:
        assert decided(persona, now) == decided(persona)


def test_nobody_shares_an_address() -> None:
    assert len({persona.email for persona in PERSONAS}) == len(PERSONAS)
    assert {persona.email.partition("@")[2] for persona in PERSONAS} == {"demo.example.com"}
