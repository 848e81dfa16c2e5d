"""Recorded decisions, decided again by whoever has to defend them."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.credit.agreements import CreditOffer
from ecs.domain.credit.replay import MoodSource, Verdict
from ecs.domain.transactions import IncomingTransaction
from ecs.services.exceptions import OfferNotFound
from tests.builders import (
    Database,
    a_client,
    a_consent,
    a_user,
    bad_month,
    emotional_events,
    environment_for,
    feed,
    good_month,
    thin_month,
)
from tests.commands import Said, run
from tests.unit.domain.credit import people

Month = Callable[[UUID, datetime], list[IncomingTransaction]]


async def a_decision(
    ecs: Application, database: Database, *, month: Month = good_month, mood: float | None = 0.7
) -> CreditOffer:
    """A decision about somebody new, who shares a mood unless it is None."""
    user_id, client_id = await a_user(database), await a_client(database)
    await feed(ecs, database, month(user_id, datetime.now(UTC)))
    if mood is not None:
        await a_consent(database, user_id, client_id)
        await emotional_events(database, user_id, client_id, people.steady_mood(mood))
    offer, _ = await ecs.credit.apply(user_id=user_id, request_id="req-replay")
    return offer


class TestReplay:
    @pytest.mark.parametrize("month", [good_month, bad_month, thin_month])
    @pytest.mark.parametrize("mood", [None, 0.7, -0.7], ids=["silent", "cheerful", "sad"])
    async def test_gives_the_same_bytes(
        self, ecs: Application, database: Database, month: Month, mood: float | None
    ) -> None:
        offer = await a_decision(ecs, database, month=month, mood=mood)
        replay = await ecs.replays.replay(offer.id)
        assert (replay.verdict, replay.mood_source) == (Verdict.IDENTICAL, MoodSource.EVENTS)
        assert replay.recorded.request_id == "req-replay"

    async def test_finds_a_decision_by_its_offer_and_by_its_assessment(
        self, ecs: Application, database: Database
    ) -> None:
        offer = await a_decision(ecs, database)
        by_offer = await ecs.replays.replay(offer.id)
        by_assessment = await ecs.replays.replay(offer.assessment.id)
        assert by_offer.recorded.assessment_id == offer.assessment.id
        assert by_assessment.recorded.assessment_id == offer.assessment.id

    async def test_says_that_there_is_no_such_decision(self, ecs: Application) -> None:
        with pytest.raises(OfferNotFound):
            await ecs.replays.replay(uuid4())

    @pytest.mark.parametrize("mood", [0.7, -0.7])
    async def test_needs_no_raw_event_once_they_are_removed(
        self, ecs: Application, database: Database, owner: Any, mood: float
    ) -> None:
        offer = await a_decision(ecs, database, mood=mood)
        await owner.execute("DELETE FROM emotional_events")
        replay = await ecs.replays.replay(offer.id)
        assert (replay.verdict, replay.mood_source) == (
            Verdict.IDENTICAL,
            MoodSource.STORED_FEATURES,
        )

    async def test_takes_the_stored_features_when_only_some_events_are_left(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer = await a_decision(ecs, database)
        newest = "(SELECT max(captured_at) FROM emotional_events)"
        await owner.execute(f"DELETE FROM emotional_events WHERE captured_at < {newest}")
        replay = await ecs.replays.replay(offer.id)
        assert (replay.verdict, replay.mood_source) == (
            Verdict.IDENTICAL,
            MoodSource.STORED_FEATURES,
        )

    async def test_is_not_changed_by_what_comes_later(
        self, ecs: Application, database: Database
    ) -> None:
        offer = await a_decision(ecs, database)
        await feed(ecs, database, bad_month(offer.user_id, datetime.now(UTC)))
        assert (await ecs.replays.replay(offer.id)).verdict is Verdict.IDENTICAL

    @pytest.mark.parametrize(
        "tampering",
        [
            "UPDATE transactions SET amount_minor = amount_minor + 1",
            "DELETE FROM transactions WHERE id = (SELECT max(id::text)::uuid FROM transactions)",
        ],
    )
    async def test_says_when_the_facts_are_no_longer_those_of_then(
        self, ecs: Application, database: Database, owner: Any, tampering: str
    ) -> None:
        offer = await a_decision(ecs, database)
        await owner.execute(tampering)
        assert (await ecs.replays.replay(offer.id)).verdict is Verdict.FACTS_GONE

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("{assessment,score}", "999"),
            ("{assessment,final,limit}", '"999999.00"'),
            ("{emotion,features,emo_trend}", "0.5"),
            ("{inputs,user_created_at}", '"2001-01-01T00:00:00.000000+00:00"'),
        ],
    )
    async def test_finds_a_record_that_was_tampered_with(
        self, ecs: Application, database: Database, owner: Any, path: str, value: str
    ) -> None:
        offer = await a_decision(ecs, database)
        await owner.execute("ALTER TABLE risk_assessments DISABLE TRIGGER USER")
        await owner.execute(
            f"UPDATE risk_assessments SET record = jsonb_set(record, '{path}', '{value}')"
        )
        assert (await ecs.replays.replay(offer.id)).verdict is Verdict.DIFFERENT

    async def test_leaves_the_decisions_of_another_policy_to_its_own_release(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        offer = await a_decision(ecs, database)
        await owner.execute("ALTER TABLE risk_assessments DISABLE TRIGGER USER")
        await owner.execute(
            "UPDATE risk_assessments"
            " SET record = jsonb_set(record, '{policy,sha256}', to_jsonb(repeat('0', 64)))"
        )
        assert (await ecs.replays.replay(offer.id)).verdict is Verdict.OTHER_MODEL

    async def test_still_reads_the_record_of_a_forgotten_person(
        self, ecs: Application, operator: Application, database: Database
    ) -> None:
        offer = await a_decision(ecs, database, month=bad_month)
        await operator.maintenance.forget_user(email=f"{offer.user_id}@example.com")
        replay = await operator.replays.replay(offer.assessment.id)
        assert replay.verdict is Verdict.FACTS_GONE
        assert replay.recorded.record["status"] == "denied"


class TestExplain:
    """``make explain``, as an operator runs it."""

    async def explained(self, database: Database, redis_url: str, decision: object) -> Said:
        """Run the command with the owner's settings."""
        return await run(
            *(sys.executable, "-m", "scripts.explain_decision", "--offer", str(decision)),
            environment=environment_for(database, redis_url),
        )

    async def test_shows_how_a_decision_came_about_and_that_it_comes_out_again(
        self, ecs: Application, database: Database, redis_url: str
    ) -> None:
        offer = await a_decision(ecs, database)
        said = await self.explained(database, redis_url, offer.id)
        out = said.printed
        assert said.err == ""
        assert out.startswith("OFFERED on ")
        record = offer.assessment.record
        assert f"limit {offer.credit_limit} = base" in out
        assert f"score {offer.assessment.score}, probability of default" in out
        assert f"factor {record['emotion']['factor']:.6f} from" in out
        for reason in record["reasons"]:
            assert f"{reason['code']}: {reason['text']}" in out
        for name, points in record["assessment"]["points"].items():
            (row,) = (line for line in out.splitlines() if line.startswith(name))
            assert row.split()[-1] == str(points)
        assert out.rstrip().endswith("identical to the byte")

    async def test_shows_what_a_referred_person_was_told(
        self, ecs: Application, database: Database, redis_url: str
    ) -> None:
        offer = await a_decision(ecs, database, month=thin_month, mood=None)
        out = (await self.explained(database, redis_url, offer.id)).printed
        assert out.startswith("REFERRED on ")
        assert "R11: " in out
        assert "next: " in out

    async def test_ends_with_1_when_the_facts_are_gone(
        self, ecs: Application, database: Database, redis_url: str, owner: Any
    ) -> None:
        offer = await a_decision(ecs, database)
        await owner.execute("DELETE FROM transactions")
        said = await self.explained(database, redis_url, offer.id)
        assert said.code == 1
        assert "impossible: transactions it was made from are gone" in said.out

    async def test_says_that_there_is_no_such_decision(
        self, database: Database, redis_url: str
    ) -> None:
        said = await self.explained(database, redis_url, uuid4())
        assert (said.code, said.out) == (1, "")
        assert (
            said.err.strip()
            == "There is no decision with this id, as an offer or as an assessment."
        )
