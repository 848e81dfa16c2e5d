"""Emotional events over HTTP: one verdict for each item, whatever its neighbours are."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final
from uuid import UUID

import pytest
from httpx import Response

from ecs.wire.emotions import EXPLANATIONS
from tests import builders
from tests.api.routes_support import Caller, Stage, acting, an_event, problem, settings_for
from tests.builders import Database

INGEST: Final = "/api/v1/emotions/ingest"
NOBODY: Final = UUID("01890000-0000-7000-8000-0000000000af")
COUNTS: Final = ("accepted", "duplicates", "rejected")


async def send(stage: Stage, feed: Caller, items: Any) -> Response:
    return await stage.client.post(INGEST, json={"events": items}, headers=feed.headers)


async def a_pair(stage: Stage, database: Database) -> tuple[Caller, Caller]:
    """A person, and a client program that this person consented to."""
    person, feed = await stage.a_person(), await stage.a_feed()
    await builders.a_consent(database, person.id, feed.id)
    return person, feed


def an_item(person: Caller, changes: dict[str, Any]) -> dict[str, Any]:
    """Return an item with ``changes``, of which ``age`` says how long ago it was."""
    age = changes.get("age", timedelta(hours=1))
    moment = (datetime.now(UTC) - age).isoformat()
    item = {**an_event(person.id), "captured_at": moment, **changes}
    return {name: value for name, value in item.items() if name != "age"}


async def judge(database: Database, redis_url: str, changes: Any) -> tuple[dict[str, Any], int]:
    """Return the one result of an item that differs by ``changes``, and the rows stored."""
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await a_pair(stage, database)
        item = an_item(person, changes) if isinstance(changes, dict) else changes
        response = await send(stage, feed, [item])
        stored = (await stage.stored())["emotional_events"]
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {*COUNTS, "results"}
    assert body["accepted"] == stored
    (result,) = body["results"]
    return dict(result), stored


class TestIngest:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"emotion_confidence": 0, "arousal": -1, "valence": 1},
            {"emotion_confidence": 1.0, "arousal": -0.0},
            {"source": "self_report"},
            {"age": timedelta(days=29)},
            {"age": timedelta(minutes=-4)},
            {"event_id": str(NOBODY).upper()},
        ],
        ids=repr,
    )
    async def test_an_accepted_item_is_told_no_more_than_that(
        self, changes: dict[str, Any], database: Database, redis_url: str
    ) -> None:
        result, stored = await judge(database, redis_url, changes)

        assert set(result) == {"index", "id", "status"}
        assert (result["index"], result["status"], stored) == (0, "accepted", 1)

    async def test_an_event_is_kept_as_it_was_sent(
        self, database: Database, redis_url: str
    ) -> None:
        moment = datetime.now(UTC) - timedelta(hours=1)
        moved = moment.astimezone(timezone(timedelta(hours=-3))).isoformat()
        async with acting(settings_for(database, redis_url)) as stage:
            person, feed = await a_pair(stage, database)
            item = an_event(person.id, captured_at=moved)
            del item["source"]
            await send(stage, feed, [item])
            (row,) = await stage.run("SELECT * FROM emotional_events")

        assert row.pop("ingested_at") > moment
        assert row == {
            **{name: UUID(item[name]) for name in ("event_id", "user_id")},
            **{name: item[name] for name in ("emotion_primary", "emotion_confidence")},
            **{name: item[name] for name in ("arousal", "valence")},
            "captured_at": moment,
            "client_id": feed.id,
            "source": "unknown",
        }

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"emotion_confidence": 1.1}, "/emotion_confidence"),
            ({"emotion_confidence": "0.5"}, "/emotion_confidence"),
            ({"arousal": True}, "/arousal"),
            ({"valence": None}, "/valence"),
            ({"valence": 10**300}, "/valence"),
            ({"emotion_primary": "joy"}, "/emotion_primary"),
            ({"source": "\x00"}, "/source"),
            ({"user_id": "x"}, "/user_id"),
            ({"captured_at": "2026-11-20T12:00:00"}, "/captured_at"),
            ({"client_id": str(NOBODY)}, "/client_id"),
            ({"ingested_at": "2026-11-20T12:00:00Z"}, "/ingested_at"),
        ],
        ids=repr,
    )
    async def test_an_unreadable_field_is_pointed_at(
        self, changes: dict[str, Any], pointer: str, database: Database, redis_url: str
    ) -> None:
        result, stored = await judge(database, redis_url, changes)

        assert set(result) == {"index", "id", "status", "code", "pointer", "message"}
        assert (result["status"], result["code"], stored) == ("rejected", "invalid_field", 0)
        assert result["pointer"] == pointer
        assert result["id"] is not None
        assert result["message"]

    @pytest.mark.parametrize(
        "item", [{"event_id": "x"}, {"event_id": 7}, None, 1, "text", [], True, {}], ids=repr
    )
    async def test_an_unreadable_id_is_null(
        self, item: Any, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            (result,) = (await send(stage, await stage.a_feed(), [item])).json()["results"]

        assert (result["id"], result["code"]) == (None, "invalid_field")
        assert "pointer" in result

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"user_id": str(NOBODY)}, "unknown_user"),
            ({"age": timedelta(minutes=-6)}, "future_timestamp"),
            ({"captured_at": "9999-12-31T23:59:59Z"}, "future_timestamp"),
            ({"age": timedelta(days=31)}, "too_old"),
            ({"captured_at": "0001-01-01T00:00:00Z"}, "too_old"),
        ],
        ids=repr,
    )
    async def test_a_refused_item_is_told_why(
        self, changes: dict[str, Any], code: str, database: Database, redis_url: str
    ) -> None:
        result, stored = await judge(database, redis_url, changes)

        assert set(result) == {"index", "id", "status", "code", "message"}
        assert (result["status"], result["code"], stored) == ("rejected", code, 0)
        assert result["message"] == EXPLANATIONS[code]  # type: ignore[index]  # equal to its text

    async def test_nothing_comes_in_before_a_consent_or_after_its_end(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, feed = await stage.a_person(), await stage.a_feed()
            before = await send(stage, feed, [an_event(person.id)])
            consent_id = await builders.a_consent(database, person.id, feed.id)
            during = await send(stage, feed, [an_event(person.id)])
            await builders.withdraw(database, person.id, feed.id, consent_id=consent_id)
            after = await send(stage, feed, [an_event(person.id)])

            assert (await stage.stored())["emotional_events"] == 1
        codes = [answer.json()["results"][0].get("code") for answer in (before, during, after)]
        assert codes == ["consent_missing", None, "consent_missing"]

    async def test_the_identity_of_an_item_is_the_clients_own(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, feed = await a_pair(stage, database)
            other = await stage.a_feed()
            await builders.a_consent(database, person.id, other.id)
            item = an_event(person.id)
            answers = [await send(stage, sender, [item]) for sender in (feed, other)]

            assert (await stage.stored())["emotional_events"] == 2
        assert [answer.json()["accepted"] for answer in answers] == [1, 1]

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({}, "/events", "missing"),
            ({"events": []}, "/events", "too_short"),
            ({"events": None}, "/events", "invalid_type"),
            ({"events": {}}, "/events", "invalid_type"),
            ({"events": "x"}, "/events", "invalid_type"),
            ({"events": [{}], "client_id": "x"}, "/client_id", "unknown_field"),
        ],
        ids=repr,
    )
    async def test_a_batch_that_is_no_list_is_wrong_as_a_whole(
        self, body: Any, pointer: str, code: str, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            feed = await stage.a_feed()
            response = await stage.client.post(INGEST, json=body, headers=feed.headers)

        (error,) = problem(response, 422, "validation_failed")["errors"]
        assert (error["pointer"], error["code"]) == (pointer, code)

    async def test_a_single_event_is_no_batch_here(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, feed = await a_pair(stage, database)
            item = an_event(person.id)
            response = await stage.client.post(INGEST, json=item, headers=feed.headers)

            assert (await stage.stored())["emotional_events"] == 0
        problem(response, 422, "validation_failed")

    async def test_a_query_is_no_place_for_anything(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            feed = await stage.a_feed()
            response = await stage.client.post(
                INGEST, params={"dry": 1}, json={"events": [1]}, headers=feed.headers
            )

        (error,) = problem(response, 422, "unknown_parameter")["errors"]
        assert error["pointer"] == "?dry"

    async def test_a_thousand_items_are_taken_and_one_more_is_too_many(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, feed = await a_pair(stage, database)
            items = [an_event(person.id) for _ in range(1000)]
            taken = await send(stage, feed, items)
            too_many = await send(stage, feed, [*items, 1])

            assert (await stage.stored())["emotional_events"] == 1000
        assert taken.json()["accepted"] == 1000
        problem(too_many, 413, "payload_too_large")

    async def test_a_body_beyond_one_mebibyte_is_refused(
        self, database: Database, redis_url: str
    ) -> None:
        async with acting(settings_for(database, redis_url)) as stage:
            person, feed = await a_pair(stage, database)
            body = json.dumps({"events": [an_event(person.id)]}).encode()
            headers = {**feed.headers, "Content-Type": "application/json"}
            fits = await stage.client.post(INGEST, content=body.ljust(1_048_576), headers=headers)
            larger = await stage.client.post(INGEST, content=body.ljust(1_048_577), headers=headers)

            assert (await stage.stored())["emotional_events"] == 1
        assert fits.status_code == 200
        problem(larger, 413, "payload_too_large")


async def a_mixed_batch(stage: Stage, person: Caller) -> tuple[list[Any], list[str]]:
    """Return 1,000 items, 25 of them not to be stored, and the verdict that each must get."""
    silent = await stage.a_person()
    sound = [an_event(person.id) for _ in range(975)]
    ahead = (datetime.now(UTC) + timedelta(minutes=6)).isoformat()
    past = (datetime.now(UTC) - timedelta(days=30, minutes=1)).isoformat()
    unreadable: list[Any] = [an_event(person.id, valence="0.5"), 7]
    kinds: dict[str, list[Any]] = {
        "accepted": sound,
        "duplicate": sound[::100],
        "future_timestamp": [an_event(person.id, captured_at=ahead) for _ in range(5)],
        "too_old": [an_event(person.id, captured_at=past) for _ in range(5)],
        "consent_missing": [an_event(silent.id) for _ in range(3)],
        "invalid_field": unreadable,
    }
    # Every 40th place is none of the sound ones, and no duplicate comes before its first.
    others = [(item, kind) for kind, items in kinds.items() for item in items if items is not sound]
    mixed = [(item, "accepted") for item in sound]
    for number, pair in enumerate(reversed(others)):
        mixed.insert(len(mixed) - number * 3, pair)
    return [item for item, _ in mixed], [kind for _, kind in mixed]


async def test_a_mixed_batch_of_a_thousand_is_judged_item_by_item(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await a_pair(stage, database)
        items, expected = await a_mixed_batch(stage, person)
        fresh = (await send(stage, feed, items)).json()
        rows = await stage.run("SELECT xmin, * FROM emotional_events ORDER BY event_id")
        again = (await send(stage, feed, items)).json()

        assert await stage.run("SELECT xmin, * FROM emotional_events ORDER BY event_id") == rows
    verdicts = [result.get("code", result["status"]) for result in fresh["results"]]
    assert verdicts == expected
    assert len(rows) == 975
    assert [result["index"] for result in fresh["results"]] == list(range(1000))
    assert [result["id"] for result in fresh["results"]] == [
        item["event_id"] if isinstance(item, dict) else None for item in items
    ]
    assert [fresh[count] for count in COUNTS] == [975, 10, 15]
    assert [again[count] for count in COUNTS] == [0, 985, 15]
    assert Counter(verdicts) == {
        "accepted": 975,
        "duplicate": 10,
        "future_timestamp": 5,
        "too_old": 5,
        "consent_missing": 3,
        "invalid_field": 2,
    }
