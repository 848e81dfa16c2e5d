"""People: who may register, and what they see of themselves on the way."""

import asyncio
from typing import Any, Final
from uuid import UUID

import pytest
from httpx import Response

from tests.api.routes_support import Caller, Stage, acting, problem, settings_for
from tests.builders import Database

PASSWORD: Final = "a quiet lake at dawn"
ANA: Final = {"email": "ana@example.com", "full_name": "Ana Lima", "password": PASSWORD}
ME: Final = "/api/v1/users/me"


async def register(stage: Stage, **changes: Any) -> Response:
    person = {name: value for name, value in {**ANA, **changes}.items() if value is not None}
    return await stage.client.post("/api/v1/users", json=person)


async def me(stage: Stage, person: Caller) -> dict[str, Any]:
    response = await stage.client.get(ME, headers=person.headers)
    assert response.status_code == 200
    return dict(response.json())


async def test_a_person_registers_and_sees_no_password(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        response = await register(stage, email="  Ana.Lima@EXAMPLE.com ", full_name="  Ana Lima ")
        (row,) = await stage.run("SELECT * FROM users")

    assert response.status_code == 201
    body = response.json()
    assert set(body) == {"id", "email", "full_name", "created_at"}
    assert (body["email"], body["full_name"]) == ("ana.lima@example.com", "Ana Lima")
    assert UUID(body["id"]).version == 7
    assert body["created_at"].endswith("Z")
    assert row["password_hash"].startswith("$argon2id$")


async def test_of_twenty_registrations_at_once_one_wins(database: Database, redis_url: str) -> None:
    spellings = ["ana@example.com", "ANA@example.com", "Ana@EXAMPLE.COM", " ana@Example.com "]
    async with acting(settings_for(database, redis_url)) as stage:
        answers = await asyncio.gather(
            *(register(stage, email=spellings[turn % 4]) for turn in range(20))
        )
        stored = await stage.stored()

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    for answer in answers:
        if answer.status_code == 409:
            problem(answer, 409, "email_taken")
    assert stored["users"] == 1


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"email": None}, "/email", "missing"),
        ({"email": 7}, "/email", "invalid_type"),
        ({"email": ""}, "/email", "invalid_value"),
        ({"email": "ana"}, "/email", "invalid_value"),
        ({"email": "ana@"}, "/email", "invalid_value"),
        ({"email": "a b@example.com"}, "/email", "invalid_value"),
        ({"email": "Ana <ana@example.com>"}, "/email", "invalid_value"),
        ({"email": "ana@example.com\nbcc: x@example.com"}, "/email", "invalid_value"),
        ({"email": "ana\x00@example.com"}, "/email", "invalid_value"),
        ({"email": "a" * 400 + "@example.com"}, "/email", "too_long"),
        ({"full_name": None}, "/full_name", "missing"),
        ({"full_name": ""}, "/full_name", "too_short"),
        ({"full_name": "   "}, "/full_name", "too_short"),
        ({"full_name": "x" * 201}, "/full_name", "too_long"),
        ({"full_name": "Ana\x00"}, "/full_name", "invalid_value"),
        ({"full_name": "Ana\x1b[31m"}, "/full_name", "invalid_value"),
        ({"full_name": "Ana\u202eamiL"}, "/full_name", "invalid_value"),
        ({"full_name": "Ana\u2028Lima"}, "/full_name", "invalid_value"),
        ({"full_name": ["Ana"]}, "/full_name", "invalid_type"),
        ({"password": None}, "/password", "missing"),
        ({"password": "123456789"}, "/password", "invalid_value"),
        ({"password": "password123"}, "/password", "invalid_value"),
        ({"password": "PassWord123"}, "/password", "invalid_value"),
        ({"password": "x" * 1025}, "/password", "invalid_value"),
        ({"password": "a\x00quiet lake at dawn"}, "/password", "invalid_value"),
        # Five letters with their accents apart are ten bytes only until they are put together.
        ({"password": "n\u0303" * 4}, "/password", "invalid_value"),
        ({"status": "admin"}, "/status", "unknown_field"),
        ({"id": "01890000-0000-7000-8000-000000000001"}, "/id", "unknown_field"),
    ],
    ids=repr,
)
async def test_refuses_and_points_at_it(
    changes: dict[str, Any], pointer: str, code: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        response = await register(stage, **changes)

        assert (await stage.stored())["users"] == 0
    body = problem(response, 422, "validation_failed")
    assert [(error["pointer"], error["code"]) for error in body["errors"]] == [(pointer, code)]
    for value in changes.values():
        assert not isinstance(value, str) or len(value) < 5 or value not in response.text


@pytest.mark.parametrize("password", ["0123456xyz", "x" * 1024, "n\u0303" * 5, "senha 密码 🔑"])
async def test_takes_every_other_password_and_lets_its_owner_in(
    password: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        response = await register(stage, password=password)
        form = {"grant_type": "password", "username": ANA["email"], "password": password}
        token = await stage.client.post("/token", data=form)

    assert response.status_code == 201
    assert token.status_code == 200


async def test_a_password_is_the_same_in_every_spelling_of_unicode(
    database: Database, redis_url: str
) -> None:
    form = {
        "grant_type": "password",
        "username": ANA["email"],
        "password": "manh\u00e3 em Bel\u00e9m",
    }
    async with acting(settings_for(database, redis_url)) as stage:
        await register(stage, password="manha\u0303 em Bele\u0301m")

        assert (await stage.client.post("/token", data=form)).status_code == 200


@pytest.mark.parametrize(
    "name", ["Ana", "José da Silva", "李小龍", "O'Neil-Šnajdr", "أنا", "x" * 200]
)
async def test_names_of_any_language_are_names(
    name: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        assert (await register(stage, full_name=name)).json()["full_name"] == name


async def test_a_person_sees_each_step_of_the_way(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.an_eligible_person()
        at_first = await me(stage, person)
        offer = await stage.apply(person)
        with_offer = await me(stage, person)
        accepted = (await stage.accept(person, offer["id"])).json()
        accepting = await me(stage, person)
        await stage.ecs.acceptance.open_account(job_id=UUID(accepted["job_id"]))
        at_last = await me(stage, person)
        account = await stage.client.get("/api/v1/credit/account", headers=person.headers)

    assert set(at_first) == {
        *("id", "email", "full_name", "created_at", "consents", "active_offer", "active_account")
    }
    assert (at_first["id"], at_first["email"]) == (str(person.id), person.name)
    assert (at_first["consents"], at_first["active_offer"]) == ([], None)
    assert at_first["active_account"] is None
    assert with_offer["active_offer"] == offer
    assert accepting["active_offer"] == {**offer, "status": "accepting"}
    assert accepting["active_account"] is None
    assert at_last["active_offer"] is None
    assert at_last["active_account"] == account.json()


async def test_a_lapsed_offer_and_a_denial_are_not_active(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        lapsed, denied = await stage.an_eligible_person(), await stage.a_person_to_deny()
        offer = await stage.apply(lapsed)
        await stage.lapse(offer["id"])
        await stage.apply(denied)

        assert (await me(stage, lapsed))["active_offer"] is None
        assert (await me(stage, denied))["active_offer"] is None
