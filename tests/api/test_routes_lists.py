"""Lists, page by page, and the notifications in them."""

from datetime import datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from tests.api.routes_support import APPLICATIONS, Caller, Stage, acting, problem, settings_for
from tests.builders import Database

OFFERS: Final = "/api/v1/credit/offers"
NOTIFICATIONS: Final = "/api/v1/notifications"
LISTS: Final = [OFFERS, NOTIFICATIONS, APPLICATIONS]


async def fill(stage: Stage, person: Caller, path: str, count: int) -> list[str]:
    """Give a person ``count`` things of a list; return their ids, newest first."""
    if path == OFFERS:
        made = [(await stage.apply(person))["id"] for _ in range(count)]
        return made[::-1]
    if path == APPLICATIONS:
        return [await stage.an_application(person) for _ in range(count)][::-1]
    notifications = [uuid7() for _ in range(count)]
    offer = await stage.apply(person)
    for notification_id in notifications:
        job_id = uuid7()
        await stage.run(
            "INSERT INTO jobs (id, kind, user_id, status)"
            " VALUES ($1, 'open_account', $2, 'queued')",
            job_id,
            person.id,
        )
        await stage.run(
            "INSERT INTO notifications (id, user_id, job_id, offer_id, kind, title, body)"
            " VALUES ($1, $2, $3, $4, 'acceptance_failed', 'T', 'B')",
            notification_id,
            person.id,
            job_id,
            UUID(offer["id"]),
        )
    return [str(notification_id) for notification_id in notifications][::-1]


async def get(stage: Stage, person: Caller, path: str, **query: Any) -> dict[str, Any]:
    response = await stage.client.get(path, params=query, headers=person.headers)
    assert response.status_code == 200, response.text
    assert set(response.json()) == {"data", "has_more", "next_cursor"}
    return dict(response.json())


def ids(page: dict[str, Any]) -> list[str]:
    return [item.get("id") or item["application_id"] for item in page["data"]]


async def walk(stage: Stage, person: Caller, path: str, *, limit: int) -> list[str]:
    seen: list[str] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = await get(stage, person, path, **query)
        assert len(page["data"]) <= limit
        assert page["has_more"] == (page["next_cursor"] is not None)
        seen.extend(ids(page))
        if not page["has_more"]:
            return seen
        assert len(page["data"]) == limit
        query["after"] = page["next_cursor"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100])
async def test_pages_join_without_gap_or_repetition(
    path: str, limit: int, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, other = await stage.a_person(), await stage.a_person()
        made = await fill(stage, person, path, 6)
        await fill(stage, other, path, 2)

        assert await walk(stage, person, path, limit=limit) == made


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_shows_twenty_unless_told_otherwise(
    path: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        empty = await get(stage, person, path)
        made = await fill(stage, person, path, 21)
        page = await get(stage, person, path)
        rest = await get(stage, person, path, after=page["next_cursor"])

    assert empty == {"data": [], "has_more": False, "next_cursor": None}
    assert ids(page) == made[:20]
    assert ids(rest) == made[20:]


@pytest.mark.parametrize("path", LISTS)
async def test_what_comes_while_one_turns_pages_is_not_missed_twice(
    path: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        made = await fill(stage, person, path, 4)
        first = await get(stage, person, path, limit=2)
        await fill(stage, person, path, 1)
        second = await get(stage, person, path, limit=2, after=first["next_cursor"])

    assert ids(first) + ids(second) == made


@pytest.mark.parametrize("path", LISTS)
async def test_a_cursor_of_another_person_shows_nothing_of_theirs(
    path: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, other = await stage.a_person(), await stage.a_person()
        await fill(stage, person, path, 3)
        cursor = (await get(stage, person, path, limit=1))["next_cursor"]

        assert (await get(stage, other, path, after=cursor))["data"] == []


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        *((f"limit={limit}", "?limit") for limit in ("0", "101", "-1", "1.0", "1e1", "nan", "")),
        *((f"limit={quote(limit)}", "?limit") for limit in (" 1", "1_0", "\uff11", "2" * 70)),
        *((f"after={cursor}", "?after") for cursor in ("", "x", "%00", "A" * 21, "A" * 65)),
        ("after=AZAAAAAAcACAAAAAAAAADB", "?after"),
        ("page=2", "?page"),
        ("limit=2&limit=3", "?limit"),
    ],
)
async def test_refuses_what_it_cannot_page_by(
    path: str, query: str, pointer: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        response = await stage.client.get(f"{path}?{query}", headers=person.headers)

    (error,) = problem(response, 422, response.json()["code"])["errors"]
    assert error["pointer"] == pointer


async def test_a_notification_has_the_shape_of_the_contract(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        settled = await stage.a_settled_person()
        (shown,) = (await get(stage, settled.person, NOTIFICATIONS))["data"]

    assert shown == {
        "id": settled.notification_id,
        "kind": "account_opened",
        "title": "Your credit account is open",
        "body": "You can use up to BRL 5,890.00 from now on.",
        "created_at": shown["created_at"],
        "read_at": None,
    }
    assert shown["created_at"].endswith("Z")


async def test_reading_may_be_repeated_and_the_first_time_stands(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        settled = await stage.a_settled_person()
        path = f"{NOTIFICATIONS}/{settled.notification_id}/read"
        headers = settled.person.headers
        first = await stage.client.post(path, headers=headers)
        (once,) = (await get(stage, settled.person, NOTIFICATIONS))["data"]
        second = await stage.client.post(path, json={}, headers=headers)
        (twice,) = (await get(stage, settled.person, NOTIFICATIONS))["data"]

    assert (first.status_code, second.status_code) == (204, 204)
    assert (first.content, second.content) == (b"", b"")
    assert twice == once
    assert datetime.fromisoformat(once["read_at"]) >= datetime.fromisoformat(once["created_at"])
