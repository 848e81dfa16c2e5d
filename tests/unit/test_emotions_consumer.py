"""How messages of devices become events and dead letters, without a broker or a database."""

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.emotions.events import IncomingEvent, Verdict
from ecs.domain.streams import DeadLetter, Delivery
from workers.emotions_consumer import TRANSACTION_EVENTS_MAX, ingest, read


class Emotions:
    """Judges events in memory; each call is a transaction."""

    def __init__(self, *, unknown: frozenset[UUID] = frozenset()) -> None:
        self.transactions: list[list[UUID]] = []
        self.fails_at = 0
        self._unknown = unknown

    async def ingest_unvouched(self, items: Sequence[IncomingEvent]) -> dict[int, Verdict]:
        if len(self.transactions) + 1 == self.fails_at:
            raise OSError("the database is gone")
        assert sorted(item.index for item in items) == list(range(len(items)))
        self.transactions.append([item.event_id for item in items])
        return {
            item.index: Verdict.UNKNOWN_USER for item in items if item.event_id in self._unknown
        }


def an_application(emotions: Emotions) -> Application:
    return cast(Application, SimpleNamespace(emotions=emotions))


def an_event(**changes: Any) -> dict[str, Any]:
    return {
        "event_id": str(uuid4()),
        "user_id": str(uuid4()),
        "captured_at": "2026-11-21T12:00:00Z",
        "emotion_primary": "happiness",
        "emotion_confidence": 0.9,
        "arousal": 0.3,
        "valence": 0.7,
    } | changes


def a_delivery(content: Any) -> Delivery:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Delivery(body=body, app_id=str(uuid4()), message_id=None, redelivered=False)


def batches(*sizes: int) -> tuple[list[Delivery], list[dict[str, Any]]]:
    events = [[an_event() for _ in range(size)] for size in sizes]
    flat = [event for batch in events for event in batch]
    return [a_delivery({"events": batch}) for batch in events], flat


def ids(events: Sequence[dict[str, Any]]) -> list[UUID]:
    return [UUID(event["event_id"]) for event in events]


class TestIngest:
    async def test_stores_in_transactions_of_at_most_two_thousand_in_order(self) -> None:
        deliveries, events = batches(1000, 1000, 500)
        emotions = Emotions()
        assert await ingest(an_application(emotions), deliveries) == []
        assert [len(stored) for stored in emotions.transactions] == [TRANSACTION_EVENTS_MAX, 500]
        assert [one for stored in emotions.transactions for one in stored] == ids(events)

    async def test_buries_what_is_refused_in_whichever_transaction(self) -> None:
        deliveries, events = batches(1000, 1000, 500)
        bad = [events[0], events[1999], events[2000], events[2499]]
        emotions = Emotions(unknown=frozenset(ids(bad)))
        letters = await ingest(an_application(emotions), deliveries)
        assert [json.loads(letter.body) for letter in letters] == bad
        assert {letter.code for letter in letters} == {Verdict.UNKNOWN_USER}

    async def test_leaves_what_was_stored_before_a_transaction_failed(self) -> None:
        deliveries, events = batches(1000, 1000, 500)
        emotions = Emotions()
        emotions.fails_at = 2
        with pytest.raises(OSError, match="gone"):
            await ingest(an_application(emotions), deliveries)
        assert emotions.transactions == [ids(events[:2000])]

    async def test_asks_nobody_when_nothing_can_be_read(self) -> None:
        emotions = Emotions()
        [letter] = await ingest(an_application(emotions), [a_delivery(b"{")])
        assert (letter.code, emotions.transactions) == ("malformed", [])

    async def test_lets_others_work_between_the_messages(self) -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        working = asyncio.create_task(others())
        await ingest(an_application(Emotions()), [a_delivery(b"{") for _ in range(50)])
        working.cancel()
        assert turns >= 49


class TestRead:
    def test_writes_the_items_of_a_batch_no_longer_than_they_came(self) -> None:
        items = [an_event(note="\u00e9" * 100_000), an_event(note="\U0001f600" * 50_000)]
        body = json.dumps({"events": items}, ensure_ascii=False).encode()
        letters = list(read(a_delivery(body)))
        assert all(isinstance(letter, DeadLetter) for letter in letters)
        written = [letter.body for letter in letters if isinstance(letter, DeadLetter)]
        assert [json.loads(one) for one in written] == items
        assert sum(map(len, written)) < len(body)
