"""What the decision reads of consents and moods, and what it keeps of them."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.credit.agreements import CreditOffer
from ecs.domain.credit.emotional_history import EmotionalFacts
from ecs.domain.credit.policy import EmotionMode
from ecs.domain.period import Window
from ecs.services.credit_service import CreditService
from tests.builders import (
    EVENT_COLUMNS,
    Database,
    MoodRow,
    a_client,
    a_consent,
    a_user,
    an_applicant,
    bad_month,
    emotional_events,
    feed,
    withdraw,
)
from tests.statements import statement_log
from tests.unit.domain.credit import people

MONEY = Window(days=30, rows_max=1000)
MOOD = Window(days=7, rows_max=50)
MICROSECOND, HOUR = people.MICROSECOND, people.HOUR
PRESENT: Final = people.steady_mood(0.9)
CHEERFUL: Final[list[MoodRow]] = [(hour * HOUR, "happiness", 0.9, 0.8) for hour in range(1, 32)]
SAD: Final[list[MoodRow]] = [(hour * HOUR, "sadness", 0.9, -0.8) for hour in range(1, 32)]


async def facts_of(
    ecs: Application, database: Database, user_id: UUID, client_id: UUID, *rows: MoodRow
) -> EmotionalFacts:
    """What a decision would read if these events had just been stored."""
    async with ecs.credit.unit_of_work() as uow:
        file = await uow.credit.get_applicant_file(user_id, currency="BRL", money=MONEY, mood=MOOD)
        # The transaction's clock stands still; what others commit meanwhile is seen.
        await emotional_events(database, user_id, client_id, rows, now=file.now)
        file = await uow.credit.get_applicant_file(user_id, currency="BRL", money=MONEY, mood=MOOD)
    assert file.emotion is not None
    return file.emotion


class TestWindow:
    @pytest.mark.parametrize(
        ("age", "seen"),
        [
            pytest.param(timedelta(), False, id="now"),
            pytest.param(-MICROSECOND, False, id="future"),
            pytest.param(MICROSECOND, True, id="just-before-now"),
            pytest.param(timedelta(days=7), True, id="exactly-at-the-start"),
            pytest.param(timedelta(days=7) + MICROSECOND, False, id="just-before-the-start"),
        ],
    )
    async def test_is_half_open(
        self,
        ecs: Application,
        database: Database,
        user_id: UUID,
        client_id: UUID,
        *,
        age: timedelta,
        seen: bool,
    ) -> None:
        await a_consent(database, user_id, client_id)
        found = await facts_of(ecs, database, user_id, client_id, (age, "fear", 0.5, 0.0))
        assert len(found.history) == seen

    async def test_leaves_out_events_of_no_confidence_before_it_counts_to_the_limit(
        self, ecs: Application, database: Database, user_id: UUID, client_id: UUID
    ) -> None:
        await a_consent(database, user_id, client_id)
        unsure: list[MoodRow] = [(HOUR, "fear", 0.0, -1.0)] * 60
        sure: list[MoodRow] = [(2 * HOUR, "fear", 5e-324, -1.0)] * 2
        found = await facts_of(ecs, database, user_id, client_id, *unsure, *sure)
        assert found.history.confidences == (5e-324, 5e-324)

    async def test_keeps_the_newest_and_of_equal_moments_the_largest_ids(
        self, ecs: Application, database: Database, user_id: UUID, client_id: UUID
    ) -> None:
        await a_consent(database, user_id, client_id)
        newest: list[MoodRow] = [(HOUR, "fear", 0.5, 0.1)] * 20
        older: list[MoodRow] = [(2 * HOUR, "fear", 0.5, 0.2)] * 60
        found = await facts_of(ecs, database, user_id, client_id, *older, *newest)
        assert len(found.history) == 50
        assert found.history.valences == (0.1,) * 20 + (0.2,) * 30
        assert list(found.history.event_ids[20:]) == sorted(found.history.event_ids[20:])[::-1]


class TestConsent:
    async def test_is_needed(
        self, ecs: Application, database: Database, user_id: UUID, client_id: UUID
    ) -> None:
        found = await facts_of(ecs, database, user_id, client_id, *PRESENT)
        assert (found.consent_ids, len(found.history)) == ((), 0)

    async def test_is_for_one_client(
        self, ecs: Application, database: Database, user_id: UUID, client_id: UUID
    ) -> None:
        consent_id = await a_consent(database, user_id, await a_client(database, name="other"))
        found = await facts_of(ecs, database, user_id, client_id, *PRESENT)
        assert (found.consent_ids, len(found.history)) == ((consent_id,), 0)

    async def test_of_somebody_else_does_not_count(
        self, ecs: Application, database: Database, user_id: UUID, client_id: UUID
    ) -> None:
        stranger = await a_user(database)
        await a_consent(database, stranger, client_id)
        await emotional_events(database, stranger, client_id, PRESENT)
        found = await facts_of(ecs, database, user_id, client_id, *PRESENT)
        assert (found.consent_ids, len(found.history)) == ((), 0)

    async def test_withdrawn_ends_what_was_shared_and_granted_again_opens_it(
        self, ecs: Application, database: Database, user_id: UUID, client_id: UUID
    ) -> None:
        first = await a_consent(database, user_id, client_id)
        assert len((await facts_of(ecs, database, user_id, client_id, *PRESENT)).history) == 31
        await withdraw(database, user_id, client_id, consent_id=first)
        found = await facts_of(ecs, database, user_id, client_id)
        assert (found.consent_ids, len(found.history)) == ((), 0)
        second = await a_consent(database, user_id, client_id)
        found = await facts_of(ecs, database, user_id, client_id)
        assert (found.consent_ids, len(found.history)) == ((second,), 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Random consents and events of three people by four clients, in a database and in lists."""

    people: tuple[UUID, ...]
    standing: dict[tuple[UUID, UUID], UUID]
    events: list[tuple[Any, ...]]


async def a_crowd(database: Database, owner: Any, random: Random) -> Crowd:
    users = tuple([await a_user(database) for _ in range(3)])
    clients = [await a_client(database, name=f"client {index}") for index in range(4)]
    standing: dict[tuple[UUID, UUID], UUID] = {}
    for pair in [(user, client) for user in users for client in clients]:
        for _ in range(random.randrange(4)):
            if pair in standing:
                await withdraw(database, *pair, consent_id=standing.pop(pair))
            else:
                standing[pair] = await a_consent(database, *pair)
    # A person and a client share their moments and event ids with others.
    now = datetime.now(UTC)
    moments = [now - timedelta(hours=random.uniform(-1, 200)) for _ in range(60)]
    ids = [uuid4() for _ in range(300)]
    events = [
        (
            client,
            event_id,
            random.choice(users),
            random.choice(moments),
            random.choice(["happiness", "sadness", "surprise"]),
            random.choice([0.0, 0.25, 1.0]),
            0.0,
            random.uniform(-1, 1),
            "unknown",
        )
        for client in clients
        for event_id in random.sample(ids, 150)
    ]
    await owner.copy_records_to_table("emotional_events", records=events, columns=EVENT_COLUMNS)
    return Crowd(people=users, standing=standing, events=events)


def expected(crowd: Crowd, user_id: UUID, now: datetime, limit: int) -> list[tuple[Any, ...]]:
    """The events of a person in the window, newest first, read off the lists."""
    kept = [
        (captured, event_id, client, emotion, confidence, valence)
        for client, event_id, user, captured, emotion, confidence, _, valence, _ in crowd.events
        if user == user_id
        and (user, client) in crowd.standing
        and now - timedelta(days=7) <= captured < now
        and confidence > 0
    ]
    return sorted(kept, reverse=True)[:limit]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [10, 1000])
async def test_reads_what_a_plain_loop_would_choose(
    ecs: Application, database: Database, owner: Any, seed: int, limit: int
) -> None:
    crowd = await a_crowd(database, owner, Random(seed))
    for user_id in crowd.people:
        async with ecs.credit.unit_of_work() as uow:
            file = await uow.credit.get_applicant_file(
                user_id, currency="BRL", money=MONEY, mood=Window(days=7, rows_max=limit)
            )
        assert file.emotion is not None
        history = file.emotion.history
        rows = zip(
            history.captured_at,
            history.event_ids,
            history.client_ids,
            history.emotions,
            history.confidences,
            history.valences,
            strict=True,
        )
        assert list(rows) == expected(crowd, user_id, file.now, limit)
        granted = {consent for (user, _), consent in crowd.standing.items() if user == user_id}
        assert file.emotion.consent_ids == tuple(sorted(granted))


async def an_applicant_feeling(
    ecs: Application, database: Database, client_id: UUID, rows: list[MoodRow] | None
) -> UUID:
    """A person with the good month, who shares these moods unless they are None."""
    user_id = await an_applicant(ecs, database)
    if rows is not None:
        await a_consent(database, user_id, client_id)
        await emotional_events(database, user_id, client_id, rows)
    return user_id


async def decided(credit: CreditService, user_id: UUID) -> CreditOffer:
    offer, is_new = await credit.apply(user_id=user_id, request_id=None)
    assert is_new
    return offer


class TestTwins:
    async def test_of_a_cheerful_a_sad_and_a_silent_person_differ_in_the_limit_alone(
        self, ecs: Application, database: Database, client_id: UUID
    ) -> None:
        cheerful, sad, silent = [
            await decided(ecs.credit, await an_applicant_feeling(ecs, database, client_id, rows))
            for rows in (CHEERFUL, SAD, None)
        ]
        assert {
            (offer.status, offer.assessment.risk_category, offer.credit_type, offer.apr)
            for offer in (cheerful, sad, silent)
        } == {("offered", silent.assessment.risk_category, silent.credit_type, silent.apr)}
        limits = [offer.credit_limit for offer in (cheerful, sad, silent)]
        assert all(limits)
        assert limits[0] > limits[1] == limits[2]  # type: ignore[operator]  # none is None
        blocks = [offer.assessment.record["emotion"] for offer in (cheerful, sad, silent)]
        assert blocks[0]["information"]["code"] == "E01"
        assert (blocks[1]["used"], blocks[1]["information"]) == (True, None)
        assert blocks[2]["absent_reason"] == "no_consent"

    async def test_are_one_again_after_the_withdrawal(
        self, ecs: Application, database: Database, client_id: UUID
    ) -> None:
        user_id = await a_user(database)
        await feed(ecs, database, bad_month(user_id, datetime.now(UTC)))
        consent_id = await a_consent(database, user_id, client_id)
        await emotional_events(database, user_id, client_id, CHEERFUL)
        before = await decided(ecs.credit, user_id)
        await withdraw(database, user_id, client_id, consent_id=consent_id)
        after = await decided(ecs.credit, user_id)
        assert before.assessment.record["emotion"]["used"]
        assert after.assessment.record["emotion"]["absent_reason"] == "no_consent"
        assert (before.status, before.assessment.score) == (after.status, after.assessment.score)
        assert before.assessment.record["reasons"] == after.assessment.record["reasons"]
        untouched = await ecs.credit.get_offer(user_id=user_id, offer_id=before.id)
        assert untouched == before


class TestRecord:
    async def test_has_columns_of_what_was_read(
        self, ecs: Application, database: Database, owner: Any, client_id: UUID
    ) -> None:
        user_id = await an_applicant(ecs, database)
        others = await a_client(database, name="watch")
        consents = [await a_consent(database, user_id, one) for one in (client_id, others)]
        event_ids = await emotional_events(database, user_id, client_id, CHEERFUL)
        event_ids += await emotional_events(database, user_id, others, CHEERFUL[:3])
        await decided(ecs.credit, user_id)
        row = await owner.fetchrow("SELECT * FROM risk_assessments")
        block = json.loads(row["record"])["emotion"]
        assert row["consent_ids"] == sorted(consents)
        assert row["emotional_event_ids"] == sorted(event_ids)
        keys = zip(row["emotional_event_ids"], row["emotional_client_ids"], strict=True)
        assert set(keys) == {
            *((event_id, client_id) for event_id in event_ids[:-3]),
            *((event_id, others) for event_id in event_ids[-3:]),
        }
        assert block["consent_ids"] == [str(consent) for consent in sorted(consents)]
        assert block["events"] == 34
        assert set(block["inputs"]) == {"window_days", "sha256"}
        assert block["features"]["emo_valence"] > 0

    async def test_of_a_silent_person_has_empty_columns(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        await decided(ecs.credit, await an_applicant(ecs, database))
        row = await owner.fetchrow("SELECT * FROM risk_assessments")
        assert (row["consent_ids"], row["emotional_event_ids"]) == ([], [])
        assert row["emotional_client_ids"] == []


def with_emotion(credit: CreditService, mode: EmotionMode) -> CreditService:
    policy = credit.calculator.policy
    changed = replace(policy, emotion=replace(policy.emotion, mode=mode))
    return replace(credit, calculator=replace(credit.calculator, policy=changed))


@pytest.mark.parametrize(
    ("mode", "touched"),
    [
        pytest.param(EmotionMode.OFF, set(), id="off"),
        pytest.param(
            EmotionMode.BENEFIT_ONLY, {"consent_changes", "emotional_events"}, id="benefit-only"
        ),
    ],
)
async def test_reads_no_emotional_row_when_the_policy_says_off(
    ecs: Application, database: Database, client_id: UUID, mode: EmotionMode, touched: set[str]
) -> None:
    user_id = await an_applicant_feeling(ecs, database, client_id, CHEERFUL)
    with statement_log() as sent:
        offer = await decided(with_emotion(ecs.credit, mode), user_id)
    tables = {"consent_changes", "emotional_events"}
    assert {table for table in tables if any(table in statement for statement in sent)} == touched
    assert any("FROM transactions" in statement for statement in sent)
    used = mode is EmotionMode.BENEFIT_ONLY
    assert offer.assessment.record["emotion"]["used"] == used
    assert offer.assessment.record["emotion"]["absent_reason"] == (None if used else "off")
