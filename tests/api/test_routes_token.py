"""``/token`` as RFC 6749 writes it, and what becomes of a token while it is alive."""

import base64
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus, urlencode
from uuid import UUID, uuid4

import pytest
from httpx import Response

from ecs.domain.people import USER_SCOPES
from ecs.domain.principal import PrincipalKind
from tests.api.routes_support import Caller, Stage, a_transaction, acting, problem, settings_for
from tests.builders import Database

PASSWORD: Final = "a quiet lake at dawn"
SECRET: Final = "q:p%41+z é"
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """One person and one client program that may log in."""

    user_id: UUID
    email: str
    feed: Caller

    def user(self, **changes: str) -> dict[str, str]:
        plain = {"grant_type": "password", "username": self.email, "password": PASSWORD}
        return plain | changes

    def client(self, **changes: str) -> dict[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": str(self.feed.id),
            "client_secret": SECRET,
        } | changes


async def logins(stage: Stage) -> Logins:
    user = await stage.ecs.auth.register(
        email=f"{uuid4().hex}@example.com", full_name="Ana Lima", password=PASSWORD
    )
    feed = await stage.a_feed(secret=SECRET)
    return Logins(user_id=user.id, email=user.email, feed=feed)


async def ask(stage: Stage, form: dict[str, str] | str, **headers: str) -> Response:
    content = form if isinstance(form, str) else urlencode(form)
    response = await stage.client.post("/token", content=content, headers={**FORM, **headers})
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    return response


def refused(response: Response, status: int, error: str) -> str:
    """Check a refusal's form and return its text."""
    assert (response.status_code, response.json()["error"]) == (status, error), response.text
    assert set(response.json()) == {"error", "error_description"}
    assert response.headers["content-type"] == "application/json"
    assert ("www-authenticate" in response.headers) == (status == 401)
    return response.text


def basic(client_id: str, secret: str, *, scheme: str = "Basic") -> dict[str, str]:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"Authorization": f"{scheme} {base64.b64encode(pair.encode()).decode()}"}


async def test_a_person_gets_a_token_for_every_scope_of_people(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        who = await logins(stage)
        response = await ask(stage, who.user(username=f" {who.email.upper()} "))
        token = response.json()["access_token"]
        me = await stage.client.get(
            "/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}
        )

    assert response.status_code == 200
    assert response.json() == {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": " ".join(sorted(USER_SCOPES)),
    }
    assert me.json()["id"] == str(who.user_id)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("username=a&password=b", "invalid_request"),
        ("grant_type=password", "invalid_request"),
        ("grant_type=password&username=a", "invalid_request"),
        ("grant_type=password&username=&password=b", "invalid_request"),
        ("grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&client_id=a", "invalid_request"),
        ("grant_type=password&grant_type=password&username=a&password=b", "invalid_request"),
        ("grant_type=password&username=a&username=c&password=b", "invalid_request"),
        ("grant_type=password&username=a&password=b&scope=x&scope=x", "invalid_request"),
        ("&".join(f"x{number}=1" for number in range(21)), "invalid_request"),
        ("grant_type=password&username=%FF&password=b", "invalid_request"),
        ("grant_type=password&username=a&password=é", "invalid_request"),
        ("grant_type=password&username=%00&password=b", "invalid_request"),
        ("grant_type=password&username=a&password=%00", "invalid_request"),
        ("grant_type=authorization_code&code=x", "unsupported_grant_type"),
        ("grant_type=refresh_token&refresh_token=x", "unsupported_grant_type"),
        ("grant_type=Password&username=a&password=b", "unsupported_grant_type"),
        ("grant_type=%00", "invalid_request"),
        ("grant_type=password&username=a&password=b&scope=everything", "invalid_scope"),
        ("grant_type=password&username=a&password=b&scope=emotions:ingest", "invalid_scope"),
    ],
)
async def test_refuses_a_malformed_request(
    form: str, error: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        refused(await ask(stage, form), 400, error)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "", "multipart/form-data; boundary=x"],
)
async def test_takes_nothing_but_a_form(
    content_type: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        who = await logins(stage)
        response = await ask(stage, who.user(), **{"Content-Type": content_type})

    refused(response, 400, "invalid_request")


async def test_nobody_a_wrong_password_and_a_disabled_person_look_alike(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        who = await logins(stage)
        answers = [
            await ask(stage, who.user(username="nobody@example.com")),
            await ask(stage, who.user(password="another lake")),
            await ask(stage, who.user(password="x" * 5000)),
        ]
        await stage.run("UPDATE users SET disabled_at = now()")
        answers.append(await ask(stage, who.user()))

    assert len({refused(answer, 400, "invalid_grant") for answer in answers}) == 1


async def test_an_unknown_client_a_wrong_secret_and_a_disabled_client_look_alike(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        who = await logins(stage)
        answers = [
            await ask(stage, who.client(client_id=str(uuid4()))),
            await ask(stage, who.client(client_id="not an id")),
            await ask(stage, who.client(client_secret="wrong")),
            await ask(stage, "grant_type=client_credentials", **basic("x", "y")),
        ]
        await stage.run("UPDATE clients SET disabled_at = now()")
        answers.append(await ask(stage, who.client()))

    assert len({refused(answer, 401, "invalid_client") for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Basic realm="ecs"'}


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_a_client_may_say_who_it_is_by_basic(
    scheme: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        who = await logins(stage)
        header = basic(str(who.feed.id), SECRET, scheme=scheme)
        response = await ask(stage, "grant_type=client_credentials", **header)

    assert response.status_code == 200
    assert response.json()["scope"] == "emotions:ingest prequalification:review transactions:write"


@pytest.mark.parametrize(
    "form",
    ["client_id=a", "client_secret=b", "client_id=a&client_secret=b"],
)
async def test_credentials_come_in_one_way_only(
    form: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        who = await logins(stage)
        header = basic(str(who.feed.id), SECRET)
        response = await ask(stage, f"grant_type=client_credentials&{form}", **header)

    refused(response, 400, "invalid_request")


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !!!", "Basic YQ==", "Bearer YTpi", "Basic /////w==", "Digest x", ""],
)
async def test_refuses_what_is_not_basic(header: str, database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        response = await ask(stage, "grant_type=client_credentials", Authorization=header)

    refused(response, 401, "invalid_client")


async def test_a_token_may_carry_fewer_scopes(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        who = await logins(stage)
        response = await ask(stage, who.user(scope="offers:read account:read"))
        headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
        offers = await stage.client.get("/api/v1/credit/offers", headers=headers)
        applied = await stage.client.post("/api/v1/credit/apply", headers=headers)

    assert response.json()["scope"] == "account:read offers:read"
    assert offers.status_code == 200
    problem(applied, 403, "insufficient_scope")


async def test_a_client_cannot_ask_for_more_than_it_holds(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        feed = await stage.a_feed(scopes=["emotions:ingest"], secret=SECRET)
        who = Logins(user_id=uuid4(), email="", feed=feed)

        refused(await ask(stage, who.client(scope="transactions:write")), 400, "invalid_scope")
        refused(await ask(stage, who.client(scope="offers:read")), 400, "invalid_scope")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET disabled_at = now()",
        "UPDATE users SET token_version = token_version + 1",
        "DELETE FROM users",
    ],
)
async def test_a_persons_token_ends_at_once(
    change: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person = await stage.a_person()
        before = await stage.client.get("/api/v1/users/me", headers=person.headers)
        await stage.run(change)
        after = await stage.client.get("/api/v1/users/me", headers=person.headers)

    assert before.status_code == 200
    problem(after, 401, "invalid_token")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ("UPDATE clients SET disabled_at = now()", 401, "invalid_token"),
        ("UPDATE clients SET token_version = 7", 401, "invalid_token"),
        ("UPDATE clients SET scopes = '{emotions:ingest}'", 403, "insufficient_scope"),
    ],
)
async def test_a_clients_live_token_loses_what_the_client_loses(
    change: str, status: int, code: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed()
        before = await ingest(stage, feed, a_transaction(person.id))
        await stage.run(change)
        after = await ingest(stage, feed, a_transaction(person.id))

        assert (await stage.stored())["transactions"] == 1
    assert before.status_code == 200
    problem(after, status, code)


async def test_a_token_cannot_give_itself_scopes_or_another_kind(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        person, feed = await stage.a_person(), await stage.a_feed(scopes=["emotions:ingest"])
        grown = stage.token_of(feed.id, PrincipalKind.CLIENT, ["transactions:write"])
        crossed = stage.token_of(person.id, PrincipalKind.CLIENT, ["transactions:write"])
        answers = [
            await ingest(stage, Caller(id=feed.id, token=token, name=""), a_transaction(person.id))
            for token in (grown, crossed)
        ]

    problem(answers[0], 403, "insufficient_scope")
    problem(answers[1], 401, "invalid_token")


async def ingest(stage: Stage, feed: Caller, item: dict[str, Any]) -> Response:
    return await stage.client.post(
        "/api/v1/transactions/ingest", json={"transactions": [item]}, headers=feed.headers
    )
