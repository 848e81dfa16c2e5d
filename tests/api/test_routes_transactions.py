"""The feed of transactions: one verdict for each item, in exactly this form."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from httpx import Response

from tests.api.routes_support import Caller, Stage, a_transaction, acting, problem, settings_for
from tests.builders import Database

NOBODY: Final = UUID("01890000-0000-7000-8000-0000000000af")
INGEST: Final = "/api/v1/transactions/ingest"


async def send(stage: Stage, feed: Caller, items: Any) -> Response:
    return await stage.client.post(INGEST, json={"transactions": items}, headers=feed.headers)


def an_item(person: Caller, changes: dict[str, Any]) -> dict[str, Any]:
    """Return an item with ``changes``, of which ``age`` says how long ago it was."""
    age = changes.get("age", timedelta(hours=1))
    moment = (datetime.now(UTC) - age).isoformat()
    item = {**a_transaction(person.id), "occurred_at": moment, **changes}
    return {name: value for name, value in item.items() if name != "age"}


async def judge(database: Database, redis_url: str, changes: Any) -> tuple[dict[str, Any], int]:
    """Return the one result of an item that differs by ``changes``, and the rows stored."""
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        item = an_item(person, changes) if isinstance(changes, dict) else changes
        response = await send(stage, feed, [item])
        stored = (await stage.stored())["transactions"]
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"accepted", "duplicates", "rejected", "results"}
    assert body["accepted"] == stored
    (result,) = body["results"]
    return dict(result), stored


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"amount": "0.01"},
        {"amount": "-999999999999.99"},
        {"category": None},
        {"category": "gambling"},
        {"age": timedelta(days=729)},
        {"age": timedelta(minutes=-4)},
        {"transaction_id": str(NOBODY).upper()},
    ],
    ids=repr,
)
async def test_an_accepted_item_is_told_no_more_than_that(
    changes: dict[str, Any], database: Database, redis_url: str
) -> None:
    result, stored = await judge(database, redis_url, changes)

    assert set(result) == {"index", "id", "status"}
    assert (result["index"], result["status"], stored) == (0, "accepted", 1)


@pytest.mark.parametrize("form", ["offset", "lower case", "nanoseconds", "whole seconds"])
async def test_an_instant_may_be_spelled_as_rfc_3339_allows(
    form: str, database: Database, redis_url: str
) -> None:
    moment = datetime.now(UTC) - timedelta(hours=1)
    spelled = {
        "offset": moment.astimezone(timezone(timedelta(hours=-3))).isoformat(),
        "lower case": f"{moment:%Y-%m-%dt%H:%M:%Sz}",
        "nanoseconds": f"{moment:%Y-%m-%dT%H:%M:%S.%f}123Z",
        "whole seconds": f"{moment:%Y-%m-%dT%H:%M:%S}Z",
    }
    result, _ = await judge(database, redis_url, {"occurred_at": spelled[form]})

    assert result["status"] == "accepted"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"amount": 12.5}, "/amount"),
        ({"amount": "12.5"}, "/amount"),
        ({"amount": "0.00"}, "/amount"),
        ({"amount": "-0.00"}, "/amount"),
        ({"amount": "+1.00"}, "/amount"),
        ({"amount": "1e3.00"}, "/amount"),
        ({"amount": "NaN"}, "/amount"),
        ({"amount": "1234567890123.00"}, "/amount"),
        ({"amount": "\u0661.00"}, "/amount"),
        ({"amount": "1.00\n"}, "/amount"),
        ({"amount": None}, "/amount"),
        ({"user_id": "x"}, "/user_id"),
        ({"user_id": 7}, "/user_id"),
        ({"occurred_at": "2026-11-20T12:00:00"}, "/occurred_at"),
        ({"occurred_at": "2026-11-20"}, "/occurred_at"),
        ({"occurred_at": "2026-02-30T12:00:00Z"}, "/occurred_at"),
        ({"occurred_at": "2026-11-20T25:00:00Z"}, "/occurred_at"),
        ({"occurred_at": 1_700_000_000}, "/occurred_at"),
        ({"currency": "brl"}, "/currency"),
        ({"currency": "BRL\n"}, "/currency"),
        ({"currency": None}, "/currency"),
        ({"category": "salary"}, "/category"),
        ({"category": ""}, "/category"),
        ({"category": "\x00"}, "/category"),
        ({"client_id": str(NOBODY)}, "/client_id"),
        ({"a/b": 1}, "/a~1b"),
    ],
    ids=repr,
)
async def test_an_unreadable_field_is_pointed_at(
    changes: dict[str, Any], pointer: str, database: Database, redis_url: str
) -> None:
    result, stored = await judge(database, redis_url, changes)

    assert set(result) == {"index", "id", "status", "code", "pointer", "message"}
    assert (result["status"], result["code"], stored) == ("rejected", "invalid_field", 0)
    assert result["pointer"] == pointer
    assert result["id"] is not None
    assert result["message"]


@pytest.mark.parametrize(
    "item",
    [
        {"transaction_id": "x"},
        {"transaction_id": None},
        {"transaction_id": "01890000000070008000000000000001"},
        {"transaction_id": 7},
        None,
        1,
        "text",
        [],
        True,
    ],
    ids=repr,
)
async def test_an_unreadable_id_is_null(item: Any, database: Database, redis_url: str) -> None:
    result, _ = await judge(database, redis_url, item)

    assert (result["id"], result["code"]) == (None, "invalid_field")
    assert "pointer" in result


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"user_id": str(NOBODY)}, "unknown_user"),
        ({"age": timedelta(minutes=-6)}, "future_timestamp"),
        ({"occurred_at": "9999-12-31T23:59:59Z"}, "future_timestamp"),
        ({"age": timedelta(days=731)}, "too_old"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, "too_old"),
        ({"currency": "USD"}, "currency_mismatch"),
    ],
    ids=repr,
)
async def test_a_refused_item_is_told_why(
    changes: dict[str, Any], code: str, database: Database, redis_url: str
) -> None:
    result, stored = await judge(database, redis_url, changes)

    assert set(result) - {"pointer"} == {"index", "id", "status", "code", "message"}
    assert (result["status"], result["code"], stored) == ("rejected", code, 0)


async def test_a_mixed_batch_is_judged_item_by_item(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        first = a_transaction(person.id)
        batch = [
            first,
            {**first},
            {**first, "amount": "-99.00"},
            a_transaction(uuid4()),
            {"amount": "1.00"},
            a_transaction(person.id, category=None),
        ]
        fresh = (await send(stage, feed, batch)).json()
        again = (await send(stage, feed, batch)).json()
        stored = (await stage.stored())["transactions"]

    verdicts = [result.get("code", result["status"]) for result in fresh["results"]]
    assert verdicts == [
        *("accepted", "duplicate", "id_conflict", "unknown_user", "invalid_field", "accepted")
    ]
    assert [result["index"] for result in fresh["results"]] == list(range(6))
    assert (fresh["accepted"], fresh["duplicates"], fresh["rejected"]) == (2, 1, 3)
    assert (again["accepted"], again["duplicates"], again["rejected"]) == (0, 3, 3)
    assert stored == 2


async def test_the_identity_of_an_item_is_the_clients_own(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        item = a_transaction(person.id)
        answers = [await send(stage, await stage.a_feed(), [item]) for _ in range(2)]

        assert (await stage.stored())["transactions"] == 2
    assert [answer.json()["accepted"] for answer in answers] == [1, 1]


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/transactions", "missing"),
        ({"transactions": []}, "/transactions", "too_short"),
        ({"transactions": None}, "/transactions", "invalid_type"),
        ({"transactions": {}}, "/transactions", "invalid_type"),
        ({"transactions": "x"}, "/transactions", "invalid_type"),
        ({"transactions": [{}], "client_id": "x"}, "/client_id", "unknown_field"),
    ],
    ids=repr,
)
async def test_a_batch_that_is_no_list_is_wrong_as_a_whole(
    body: Any, pointer: str, code: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        feed = await stage.a_feed()
        response = await stage.client.post(INGEST, json=body, headers=feed.headers)

    (error,) = problem(response, 422, "validation_failed")["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)


async def test_a_thousand_items_are_taken_and_one_more_is_too_many(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        items = [a_transaction(person.id) for _ in range(1000)]
        taken = await send(stage, feed, items)
        too_many = await send(stage, feed, [*items, 1])

        assert (await stage.stored())["transactions"] == 1000
    assert taken.json()["accepted"] == 1000
    problem(too_many, 413, "payload_too_large")


async def test_a_body_beyond_one_mebibyte_is_refused(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        body = json.dumps({"transactions": [a_transaction(person.id)]}).encode()
        headers = {**feed.headers, "Content-Type": "application/json"}
        fits = await stage.client.post(INGEST, content=body.ljust(1_048_576), headers=headers)
        larger = await stage.client.post(INGEST, content=body.ljust(1_048_577), headers=headers)

        assert (await stage.stored())["transactions"] == 1
    assert fits.status_code == 200
    problem(larger, 413, "payload_too_large")
