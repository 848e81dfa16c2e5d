"""The real application over real databases, and the people and programs that call it."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from httpx import ASGITransport, AsyncClient, Response
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from ecs.api.access import AccessRule, access_rule_of
from ecs.api.app import create_app
from ecs.api.docs_pages import HTTP_METHODS
from ecs.bootstrap import Application
from ecs.config import JwtSettings, Settings
from ecs.domain.people import CLIENT_SCOPES, USER_SCOPES
from ecs.domain.principal import PrincipalKind
from ecs.domain.transactions import IncomingTransaction
from tests import builders
from tests.builders import Database, token_for

SIGNING_KEY: Final = "q7Zr-pX2mD9vB4tK8wN1cH6jL3sF5gYa"
CLIENT_KEY: Final = "u5Jm-aT8kV2nE7yR4xQ9bW1dP6zG3hCf"
CLOSED_PORT: Final = 1
PURPOSE: Final = "emotion.credit_decision"
STORED_TABLES: Final = (
    *("clients", "consent_changes", "credit_accounts", "credit_offers", "jobs", "notifications"),
    *("emotional_events", "outbox_events", "processed_messages", "risk_assessments"),
    *("transactions", "users", "audit_log", "idempotency_keys"),
    *("prequalification_applications", "prequalification_status_changes"),
)

APPLICATIONS: Final = "/api/v1/prequalification/applications"
IN_REVIEW: Final = """
WITH changed AS (
    UPDATE prequalification_applications
    SET status = 'MANUAL_REVIEW', version = 2, decision_reason = 'An officer will decide.',
        policy = 'test'
    WHERE id = $1 RETURNING id
)
INSERT INTO prequalification_status_changes (application_id, version, status)
SELECT id, 2, 'MANUAL_REVIEW' FROM changed
"""
PANS: Final = (f"ABCPE{number:04d}F" for number in count(1))

Month = Callable[[UUID, datetime], list[IncomingTransaction]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody with a token."""

    id: UUID
    token: str
    name: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A person who has gone the whole way: offer, job, account, notification."""

    person: Caller
    offer_id: str
    job_id: str
    notification_id: str
    application_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running application, a client of it, and the way behind its back."""

    app: FastAPI
    ecs: Application
    client: AsyncClient
    app_url: str
    owner_url: str

    async def run(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Do something as the owner of the database."""
        async with builders.connected(self.owner_url) as connection:
            return [dict(row) for row in await connection.fetch(statement, *values)]

    async def stored(self) -> dict[str, int]:
        """Count the rows of every table."""
        counts = ", ".join(f"(SELECT count(*) FROM {name}) AS {name}" for name in STORED_TABLES)
        (row,) = await self.run(f"SELECT {counts}")
        return row

    def token_of(
        self, subject: UUID, kind: PrincipalKind, scopes: Iterable[str], *, version: int = 0
    ) -> str:
        return token_for(self.ecs, subject, kind=kind, scopes=frozenset(scopes), version=version)

    async def a_person(self, *, scopes: Iterable[str] = USER_SCOPES) -> Caller:
        """Add somebody without the cost of a password."""
        user_id = await builders.a_user(self)
        token = self.token_of(user_id, PrincipalKind.USER, scopes)
        return Caller(id=user_id, token=token, name=f"{user_id}@example.com")

    async def a_feed(self, *, scopes: Iterable[str] = CLIENT_SCOPES, secret: str = "s") -> Caller:
        """Add a client program."""
        fingerprint = self.ecs.auth.client_secrets.fingerprint(secret)
        client_id = await builders.a_client(self, scopes=scopes, secret_hmac=fingerprint)
        token = self.token_of(client_id, PrincipalKind.CLIENT, scopes)
        return Caller(id=client_id, token=token, name=str(client_id))

    async def an_eligible_person(self) -> Caller:
        """Add somebody whose month earns an offer of 5,890.00."""
        return await self._a_person_with(builders.good_month)

    async def a_person_to_deny(self) -> Caller:
        """Add somebody whose month earns a denial."""
        return await self._a_person_with(builders.bad_month)

    async def _a_person_with(self, month: Month) -> Caller:
        person = await self.a_person()
        await builders.feed(self.ecs, self, month(person.id, datetime.now(UTC)))
        return person

    async def apply(self, person: Caller) -> dict[str, Any]:
        response = await self.client.post("/api/v1/credit/apply", headers=person.headers)
        assert response.is_success, response.text
        return dict(response.json())

    async def accept(self, person: Caller, offer_id: str) -> Response:
        path = f"/api/v1/credit/offers/{offer_id}/accept"
        return await self.client.post(path, headers=person.headers)

    async def a_settled_person(self) -> Settled:
        """Add somebody and go the whole way with them."""
        person = await self.an_eligible_person()
        offer = await self.apply(person)
        accepted = (await self.accept(person, offer["id"])).json()
        await self.ecs.acceptance.open_account(job_id=UUID(accepted["job_id"]))
        (notification,) = await self.ecs.notifications.list(user_id=person.id, limit=10, after=None)
        return Settled(
            person=person,
            offer_id=offer["id"],
            job_id=accepted["job_id"],
            notification_id=str(notification.id),
            application_id=await self.an_application_in_review(person),
        )

    async def an_application_in_review(self, person: Caller) -> str:
        """Have somebody apply for prequalification, and leave the decision to an officer."""
        application_id = await self.an_application(person)
        await self.run(IN_REVIEW, UUID(application_id))
        return application_id

    async def an_application(self, person: Caller, **changes: Any) -> str:
        """Have somebody apply for prequalification, with a PAN of their own."""
        response = await self.submit(person, **changes)
        assert response.status_code == 202, response.text
        return str(response.json()["application_id"])

    async def submit(self, person: Caller, *, key: str | None = None, **changes: Any) -> Response:
        """Send an application for prequalification, with a key or without."""
        headers = person.headers | ({} if key is None else {"Idempotency-Key": key})
        return await self.client.post(
            APPLICATIONS, json=a_loan_application(**changes), headers=headers
        )

    async def lapse(self, offer_id: str) -> None:
        """Let an offer's time run out, unswept."""
        await builders.lapse(self, UUID(offer_id))


def settings_for(database: Database, redis_url: str, **changes: Any) -> Settings:
    """Return the settings of a production process; nobody listens where RabbitMQ should be."""
    strong: dict[str, Any] = {
        "environment": "production",
        "prequalification_test_pans": "",
        "client_secret_key": SecretStr(CLIENT_KEY),
        "jwt": JwtSettings(secret=SecretStr(SIGNING_KEY)),
    }
    return builders.settings_for(database, redis_url, **(strong | changes))


@asynccontextmanager
async def acting(settings: Settings) -> AsyncIterator[Stage]:
    """Start the application and a client that knows the API's description by heart."""
    app = create_app(settings)
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        transport = ASGITransport(_with_state(app, dict(state)))
        hooks: dict[str, list[Any]] = {"response": [assert_described]}
        async with AsyncClient(
            transport=transport, base_url="http://ecs", event_hooks=hooks
        ) as client:
            yield Stage(
                app=app,
                ecs=state["ecs"],
                client=client,
                app_url=settings.db_url.replace("+asyncpg", ""),
                owner_url=settings.db_owner_url.replace("+asyncpg", ""),  # type: ignore[union-attr]  # set above
            )


def _with_state(app: FastAPI, state: dict[str, Any]) -> ASGIApp:
    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return with_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one route, and who may call it."""

    method: str
    path: str
    rule: AccessRule

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Nowhere(NamedTuple):
    """The addresses of a database that is not there."""

    app_url: str = f"postgresql://nobody@127.0.0.1:{CLOSED_PORT}/none"
    owner_url: str = f"postgresql://owner@127.0.0.1:{CLOSED_PORT}/none"


@cache
def idle_app() -> FastAPI:
    """Return the application as it is built, before anything is opened."""
    redis_url = f"redis://127.0.0.1:{CLOSED_PORT}/0"
    return create_app(builders.settings_for(Nowhere(), redis_url))


def operations() -> Iterator[Operation]:
    """Return every operation of the API, with the one rule it has."""
    for context in iter_route_contexts(idle_app().routes):
        dependant = getattr(context, "dependant", None)
        if dependant is None:
            continue
        for method in context.methods or ():
            yield Operation(
                method=method, path=str(context.path_format), rule=access_rule_of(dependant)
            )


@cache
def described_statuses() -> dict[tuple[str, re.Pattern[str]], frozenset[str]]:
    """Return which statuses the API's description names, by method and path."""
    return {
        (method.upper(), path_pattern(path)): frozenset(operation["responses"])
        for path, item in idle_app().openapi()["paths"].items()
        for method, operation in item.items()
        if method in HTTP_METHODS
    }


def path_pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(template)))


async def assert_described(response: Response) -> None:
    """Hold every answer of every test against the API's description."""
    request = response.request
    for (method, path), statuses in described_statuses().items():
        if method == request.method and path.fullmatch(request.url.path):
            assert str(response.status_code) in statuses, (
                f"{method} {path.pattern} answered {response.status_code}, described: {statuses}"
            )


def problem(response: Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem of this status and code, and return its body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) == {
        *("type", "title", "status", "detail", "instance", "code", "request_id", "errors")
    }
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def timeless(body: dict[str, Any]) -> dict[str, Any]:
    """Return a problem's body without what differs from request to request."""
    return {key: value for key, value in body.items() if key not in {"instance", "request_id"}}


def a_transaction(user_id: UUID, **changes: Any) -> dict[str, Any]:
    """Return one item of a batch as a client sends it."""
    return {
        "transaction_id": str(uuid4()),
        "user_id": str(user_id),
        "occurred_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "amount": "-12.50",
        "currency": "BRL",
        "category": "groceries",
        **changes,
    }


def an_event(user_id: UUID, **changes: Any) -> dict[str, Any]:
    """Return one emotional event of a batch as a client sends it."""
    return {
        "event_id": str(uuid4()),
        "user_id": str(user_id),
        "captured_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "emotion_primary": "happiness",
        "emotion_confidence": 0.9,
        "arousal": 0.25,
        "valence": 0.5,
        "source": "wearable",
        **changes,
    }


def a_loan_application(**changes: Any) -> dict[str, Any]:
    """Return an application for prequalification, with a PAN that nobody had before."""
    return {
        "pan_number": next(PANS),
        "applicant_name": "Asha Rao",
        "monthly_income_inr": "50000.00",
        "loan_amount_inr": 2_000_000,
        "loan_type": "PERSONAL",
        **changes,
    }


def a_consent(client_id: UUID, /, **changes: Any) -> dict[str, Any]:
    """Return what a person sends to let a client program post emotional events."""
    return {"purpose": PURPOSE, "client_id": str(client_id), "locale": "en", **changes}
