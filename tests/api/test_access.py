"""Who may call is asked first, once, and by every route."""

from typing import Annotated
from uuid import UUID

import pytest
from fastapi import APIRouter

from ecs.api.access import AnyUser, ClientWith, Public, UserWith
from ecs.api.routing import EcsRoute
from tests.api.small_app import CLIENT_ID, USER_ID, StubEcs, client_for, plain_app, small_app

OFFER = "/api/v1/offers/01890000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("header", "status", "code", "challenge"),
    [
        (None, 401, "missing_token", "Bearer"),
        ("", 401, "missing_token", "Bearer"),
        ("Bearer", 401, "missing_token", "Bearer"),
        ("Bearer  ", 401, "missing_token", "Bearer"),
        ("Basic dXNlcjp4", 401, "missing_token", "Bearer"),
        ("user", 401, "missing_token", "Bearer"),
        ("Bearer forged", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("Bearer user user", 401, "invalid_token", 'Bearer error="invalid_token"'),
        ("Bearer client", 403, "wrong_caller", None),
        (
            "Bearer user-without-scopes",
            403,
            "insufficient_scope",
            'Bearer error="insufficient_scope", scope="offers:read"',
        ),
    ],
)
async def test_turns_away(
    header: str | None, status: int, code: str, challenge: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with client_for(plain_app()) as client:
        response = await client.get(OFFER, headers=headers)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers.get("www-authenticate") == challenge


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_lets_the_right_caller_in(scheme: str) -> None:
    async with client_for(plain_app()) as client:
        response = await client.get(OFFER, headers={"Authorization": f"{scheme} user"})

    assert response.json()["user_id"] == str(USER_ID)


async def test_any_user_needs_no_scope() -> None:
    async with client_for(plain_app(), token="user-without-scopes") as client:
        assert (await client.get("/api/v1/me")).json() == {"id": str(USER_ID)}


async def test_two_authorization_headers_are_none() -> None:
    async with client_for(plain_app()) as client:
        headers = [("Authorization", "Bearer user"), ("Authorization", "Bearer user")]
        response = await client.get("/api/v1/me", headers=headers)

    assert response.json()["code"] == "invalid_token"


async def test_a_token_is_checked_once_per_request() -> None:
    ecs = StubEcs()
    async with client_for(plain_app(), ecs=ecs, token="user") as client:
        await client.get(OFFER)

    assert ecs.auth.asked == 1


@pytest.mark.parametrize("token", [None, "forged", "user"])
async def test_strangers_learn_nothing_about_query_or_body(token: str | None) -> None:
    async with client_for(plain_app(), token=token) as client:
        response = await client.post("/api/v1/payments?x=1", content=b"{", headers={})

    assert response.status_code in {401, 403}


async def test_everybody_may_call_a_public_route() -> None:
    async with client_for(small_app(act=lambda: {"status": "ok"})) as client:
        assert (await client.get("/api/v1/act")).json() == {"status": "ok"}


def test_a_route_that_names_nobody_cannot_be_built() -> None:
    router = APIRouter(route_class=EcsRoute)

    with pytest.raises(TypeError, match="who may call"):

        @router.get("/open")
        async def open_door() -> None: ...


def test_a_route_that_names_two_callers_cannot_be_built() -> None:
    router = APIRouter(route_class=EcsRoute, dependencies=[Public()])

    with pytest.raises(TypeError, match="2 times"):

        @router.get("/open")
        async def open_door(user_id: Annotated[UUID, AnyUser()]) -> None: ...


@pytest.mark.parametrize("make", [lambda: UserWith("transactions:write"), lambda: ClientWith("x")])
def test_a_scope_that_nobody_can_hold_is_a_mistake(make: type) -> None:
    with pytest.raises(ValueError, match="can hold"):
        make()


async def test_the_client_is_known_by_its_id() -> None:
    router = APIRouter(route_class=EcsRoute)

    @router.get("/whoami")
    async def whoami(client_id: Annotated[UUID, ClientWith("transactions:write")]) -> UUID:
        return client_id

    app = small_app()
    app.include_router(router)
    async with client_for(app, token="client") as client:
        assert (await client.get("/whoami")).json() == str(CLIENT_ID)
