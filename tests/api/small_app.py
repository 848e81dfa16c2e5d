"""A small application made of the API's own pieces, and a stub where the services would be."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import Field
from starlette.types import ASGIApp, Receive, Scope, Send

from ecs.api import docs_pages, error_handlers, middleware
from ecs.api.access import AnyUser, ClientWith, Public, UserWith
from ecs.api.routing import EcsRoute
from ecs.api.schemas.common import EmptyBody, MoneyText, Paging
from ecs.domain.principal import Principal, PrincipalKind
from ecs.services.exceptions import Unauthenticated
from ecs.telemetry import UNWATCHED, Telemetry
from ecs.wire.forms import Body, Instant, StrictUuid

USER_ID = UUID("01890000-0000-7000-8000-00000000000a")
CLIENT_ID = UUID("01890000-0000-7000-8000-00000000000c")
TOKEN_ID = UUID("01890000-0000-7000-8000-00000000000b")
SECRET_TEXT = "postgresql://ecs:hunter2@db.internal/ecs"

Act = Callable[[], Any]


class StubAuth:
    """Believes three tokens and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def authenticate(self, token: str) -> Principal:
        self.asked += 1
        known = {
            "user": (PrincipalKind.USER, USER_ID, {"offers:read", "credit:apply"}),
            "user-without-scopes": (PrincipalKind.USER, USER_ID, set()),
            "client": (PrincipalKind.CLIENT, CLIENT_ID, {"transactions:write"}),
        }
        if token not in known:
            raise Unauthenticated
        kind, caller_id, scopes = known[token]
        return Principal(kind=kind, id=caller_id, scopes=frozenset(scopes), token_id=TOKEN_ID)


class StubEcs:
    def __init__(self) -> None:
        self.auth = StubAuth()


class Payment(Body):
    amount: MoneyText
    occurred_at: Instant
    share: float
    tags: list[str] = Field(default_factory=list)


class Payments(Body):
    payments: list[Payment]


def small_app(
    *, act: Act = lambda: None, development: bool = False, telemetry: Telemetry = UNWATCHED
) -> FastAPI:
    app = FastAPI(title="ECS", docs_url=None, redoc_url=None, openapi_url=None)
    error_handlers.install(app, development=development)
    middleware.install(app, development=development, telemetry=telemetry)
    app.include_router(_user_routes(act))
    app.include_router(_other_routes(act))
    docs_pages.install(app)
    return app


@cache
def plain_app() -> FastAPI:
    """Return the one small application of tests that change nothing about it."""
    return small_app()


def client_for(
    app: FastAPI, *, ecs: StubEcs | None = None, token: str | None = None
) -> AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = ASGITransport(_with_state(app, ecs or StubEcs()), raise_app_exceptions=True)
    return AsyncClient(transport=transport, base_url="http://ecs", headers=headers)


def _with_state(app: FastAPI, ecs: StubEcs) -> ASGIApp:
    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"ecs": ecs}}, receive, send)

    return with_state


def _user_routes(act: Act) -> APIRouter:
    router = APIRouter(prefix="/api/v1", route_class=EcsRoute)

    @router.get("/offers/{offer_id}")
    async def get_offer(
        offer_id: StrictUuid, user_id: Annotated[UUID, UserWith("offers:read")]
    ) -> Any:
        return act() or {"user_id": str(user_id), "offer_id": str(offer_id)}

    @router.get("/offers")
    async def list_offers(
        user_id: Annotated[UUID, UserWith("offers:read")], paging: Paging
    ) -> dict[str, Any]:
        return {"limit": paging.limit, "after": paging.after}

    @router.get("/me")
    async def get_me(user_id: Annotated[UUID, AnyUser()]) -> dict[str, str]:
        return {"id": str(user_id)}

    @router.post("/apply")
    async def apply(
        user_id: Annotated[UUID, UserWith("credit:apply")], body: EmptyBody | None = None
    ) -> dict[str, str]:
        return {"id": str(user_id)}

    return router


def _other_routes(act: Act) -> APIRouter:
    router = APIRouter(prefix="/api/v1", route_class=EcsRoute)

    @router.get("/act", dependencies=[Public()])
    async def do_act() -> Any:
        return act()

    @router.post("/payments")
    async def ingest(
        body: Payments, client_id: Annotated[UUID, ClientWith("transactions:write")]
    ) -> dict[str, Any]:
        return {"count": len(body.payments), "times": _times(body)}

    return router


def _times(body: Payments) -> list[datetime]:
    return [payment.occurred_at for payment in body.payments]
