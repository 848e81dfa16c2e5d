"""Consents over HTTP: given under a text, seen, withdrawn, and given again."""

import asyncio
import hashlib
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from httpx import Response

from ecs.domain.consents import Purpose, find_text
from tests.api.routes_support import (
    PURPOSE,
    Caller,
    Stage,
    a_consent,
    acting,
    problem,
    settings_for,
)
from tests.builders import Database

CONSENTS: Final = "/api/v1/consents"
TEXTS: Final = f"{CONSENTS}/texts"
WORDS: Final = find_text(Purpose.EMOTION_CREDIT_DECISION, locale="en")


async def grant(stage: Stage, person: Caller, client_id: UUID, /, **changes: Any) -> Response:
    body = {
        name: value for name, value in a_consent(client_id, **changes).items() if value is not None
    }
    return await stage.client.post(CONSENTS, json=body, headers=person.headers)


async def withdraw(
    stage: Stage, person: Caller, purpose: str = PURPOSE, *, query: str = ""
) -> Response:
    return await stage.client.delete(f"{CONSENTS}/{purpose}{query}", headers=person.headers)


async def listed(stage: Stage, person: Caller) -> list[dict[str, Any]]:
    response = await stage.client.get(CONSENTS, headers=person.headers)
    assert response.status_code == 200
    assert set(response.json()) == {"data"}
    return list(response.json()["data"])


async def shown_to(stage: Stage, person: Caller) -> list[dict[str, Any]]:
    response = await stage.client.get("/api/v1/users/me", headers=person.headers)
    return list(response.json()["consents"])


async def test_a_consent_has_the_shape_of_the_contract(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        response = await grant(stage, person, feed.id)

    assert WORDS is not None
    assert response.status_code == 201
    body = response.json()
    assert body == {
        "id": body["id"],
        "purpose": PURPOSE,
        "client_id": str(feed.id),
        "locale": "en",
        "text_version": WORDS.version,
        "text_sha256": WORDS.sha256,
        "status": "active",
        "granted_at": body["granted_at"],
        "withdrawn_at": None,
    }
    assert UUID(body["id"]).version == 7
    assert body["granted_at"].endswith("Z")


async def test_a_consent_is_given_seen_withdrawn_and_given_again(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        first = await grant(stage, person, feed.id)
        again = await grant(stage, person, feed.id, locale="pt-BR")
        standing = await shown_to(stage, person)
        ended = [await withdraw(stage, person) for _ in range(2)]
        (withdrawn,) = await listed(stage, person)
        nothing = await shown_to(stage, person)
        second = await grant(stage, person, feed.id, locale="pt-BR")
        everything = await listed(stage, person)
        changes = await stage.run("SELECT request_id FROM consent_changes ORDER BY revision")

        assert await shown_to(stage, person) == [second.json()]
    assert [answer.status_code for answer in (first, again, second)] == [201, 200, 201]
    assert again.json() == first.json()
    assert standing == [first.json()]
    assert [(answer.status_code, answer.content) for answer in ended] == [(204, b"")] * 2
    ending = {"status": "withdrawn", "withdrawn_at": withdrawn["withdrawn_at"]}
    assert withdrawn == {**first.json(), **ending}
    assert withdrawn["withdrawn_at"].endswith("Z")
    assert nothing == []
    assert everything == [second.json(), withdrawn]
    assert [change["request_id"] for change in changes] == [
        answer.headers["x-request-id"] for answer in (first, ended[0], second)
    ]


async def test_one_client_or_all_can_be_sent_away(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        feeds = [await stage.a_feed() for _ in range(3)]
        given = [(await grant(stage, person, feed.id)).json() for feed in feeds]
        one = await withdraw(stage, person, query=f"?client_id={feeds[1].id}")
        unknown = await withdraw(stage, person, query=f"?client_id={uuid4()}")
        left = await shown_to(stage, person)
        rest = await withdraw(stage, person)

        assert await shown_to(stage, person) == []
        assert {consent["status"] for consent in await listed(stage, person)} == {"withdrawn"}
    assert [answer.status_code for answer in (one, unknown, rest)] == [204] * 3
    assert left == [given[2], given[0]]


async def test_what_others_allow_is_nobodys_business(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, stranger, feed = (
            await stage.a_person(),
            await stage.a_person(),
            await stage.a_feed(),
        )
        given = (await grant(stage, person, feed.id)).json()
        by_stranger = await withdraw(stage, stranger)
        of_client = await withdraw(stage, stranger, query=f"?client_id={feed.id}")

        assert await listed(stage, stranger) == []
        assert await shown_to(stage, stranger) == []
        assert await listed(stage, person) == [given]
    assert (by_stranger.status_code, of_client.status_code) == (204, 204)


async def test_of_forty_grants_at_once_one_is_new(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        answers = await asyncio.gather(*(grant(stage, person, feed.id) for _ in range(40)))

        assert (await stage.stored())["consent_changes"] == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 39 + [201]
    assert len({answer.text for answer in answers}) == 1


async def test_an_unknown_or_disabled_client_cannot_be_trusted(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        await stage.run("UPDATE clients SET disabled_at = now()")
        answers = [await grant(stage, person, client_id) for client_id in (uuid4(), feed.id)]

        assert (await stage.stored())["consent_changes"] == 0
    for answer in answers:
        problem(answer, 404, "client_not_found")


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"purpose": None}, "/purpose", "missing"),
        ({"purpose": "emotion.advertising"}, "/purpose", "invalid_value"),
        ({"purpose": "EMOTION_CREDIT_DECISION"}, "/purpose", "invalid_value"),
        ({"purpose": [PURPOSE]}, "/purpose", "invalid_value"),
        ({"client_id": None}, "/client_id", "missing"),
        ({"client_id": "feed"}, "/client_id", "invalid_value"),
        ({"client_id": 7}, "/client_id", "invalid_value"),
        ({"locale": None}, "/locale", "missing"),
        ({"locale": "de"}, "/locale", "invalid_value"),
        ({"locale": "EN"}, "/locale", "invalid_value"),
        ({"locale": ""}, "/locale", "invalid_value"),
        ({"locale": ["en"]}, "/locale", "invalid_type"),
        ({"locale": "e\x00n"}, "/locale", "invalid_value"),
        ({"text_version": "1.0.0"}, "/text_version", "unknown_field"),
        ({"status": "active"}, "/status", "unknown_field"),
        ({"user_id": "01890000-0000-7000-8000-000000000001"}, "/user_id", "unknown_field"),
    ],
    ids=repr,
)
async def test_refuses_and_points_at_it(
    changes: dict[str, Any], pointer: str, code: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        response = await grant(stage, person, feed.id, **changes)

        assert (await stage.stored())["consent_changes"] == 0
    (error,) = problem(response, 422, "validation_failed")["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)


async def test_a_refusal_names_what_there_is(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        response = await grant(stage, person, feed.id, locale="de", purpose="other")

    purpose, locale = response.json()["errors"]
    assert PURPOSE in purpose["message"]
    assert "en, pt-BR" in locale["message"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("?client_id=", "?client_id"),
        ("?client_id=null", "?client_id"),
        ("?client_id=7", "?client_id"),
        ("?client=7", "?client"),
        ("?all=true", "?all"),
    ],
)
async def test_a_withdrawal_that_is_not_understood_withdraws_nothing(
    query: str, pointer: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        given = (await grant(stage, person, feed.id)).json()
        answer = await withdraw(stage, person, query=query)

        assert await shown_to(stage, person) == [given]
    (error,) = problem(answer, 422, answer.json()["code"])["errors"]
    assert error["pointer"] == pointer


async def test_a_withdrawal_with_a_body_of_its_own_withdraws_nothing(
    database: Database, redis_url: str
) -> None:
    """A client named in the wrong place must not end the consents of all."""
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        given = (await grant(stage, person, feed.id)).json()
        answer = await stage.client.request(
            "DELETE",
            f"/api/v1/consents/{PURPOSE}",
            json={"client_id": str(feed.id)},
            headers=person.headers,
        )

        assert await shown_to(stage, person) == [given]
    (error,) = problem(answer, 422, "validation_failed")["errors"]
    assert (error["pointer"], error["code"]) == ("/client_id", "unknown_field")


@pytest.mark.parametrize("purpose", ["emotion.advertising", "%00", "texts", "emotion", "%20"])
async def test_an_unknown_purpose_is_not_found(
    purpose: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        withdrawn = await withdraw(stage, await stage.a_person(), purpose)
        text = await stage.client.get(f"{TEXTS}/{purpose}")

    problem(withdrawn, 404, "purpose_not_found")
    problem(text, 404, "purpose_not_found")


@pytest.mark.parametrize("query", ["?locale=en", "?unknown=1", "?limit=3"])
async def test_the_list_takes_no_parameters(query: str, database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        answer = await stage.client.get(f"{CONSENTS}{query}", headers=person.headers)

    problem(answer, 422, "unknown_parameter")


@pytest.mark.parametrize(
    ("query", "locale"),
    [("", "en"), ("?locale=pt-BR", "pt-BR"), ("?locale=en&version=1.0.0", "en")],
)
async def test_everybody_may_read_the_words(
    query: str, locale: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        response = await stage.client.get(f"{TEXTS}/{PURPOSE}{query}")

    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"purpose", "locale", "version", "text", "sha256"}
    assert (body["purpose"], body["locale"], body["version"]) == (PURPOSE, locale, "1.0.0")
    assert body["sha256"] == hashlib.sha256(body["text"].encode()).hexdigest()


@pytest.mark.parametrize(
    "query", ["?locale=de", "?locale=", "?version=9.0.0", "?version=", "?version=../../common"]
)
async def test_words_that_were_never_written_are_not_found(
    query: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        response = await stage.client.get(f"{TEXTS}/{PURPOSE}{query}")

    problem(response, 404, "text_not_found")
