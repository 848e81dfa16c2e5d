"""Who may call which route: every route of the application is asked, a new one cannot be missed."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pytest
from fastapi.routing import iter_route_contexts
from httpx import Response

from ecs.api.access import CallerRule, PublicRule
from ecs.domain.people import CLIENT_SCOPES
from ecs.domain.principal import PrincipalKind
from tests.api.routes_support import (
    PURPOSE,
    Caller,
    Operation,
    Settled,
    Stage,
    a_consent,
    a_loan_application,
    a_transaction,
    acting,
    an_event,
    idle_app,
    operations,
    problem,
    settings_for,
    timeless,
)
from tests.builders import Database

PUBLIC: Final = {
    "POST /token",
    "POST /api/v1/users",
    "GET /api/v1/consents/texts/{purpose}",
    "GET /health",
    "GET /healthz",
    "GET /ready",
}
REVIEW: Final = {"decision": "REJECTED", "reason": "The employer is unknown."}
PAGES: Final = {"/docs", "/redoc", "/openapi.json", "/docs/static/{path}"}


def kind_of(operation: Operation) -> PrincipalKind | None:
    return operation.rule.kind if isinstance(operation.rule, CallerRule) else None


GUARDED: Final = [op for op in operations() if isinstance(op.rule, CallerRule)]
SCOPED: Final = [op for op in GUARDED if isinstance(op.rule, CallerRule) and op.rule.scopes]
IDENTIFIED: Final = [op for op in GUARDED if "_id}" in op.path]
OWNED: Final = [op for op in IDENTIFIED if kind_of(op) is PrincipalKind.USER]
ID_NAMES: Final = ("offer_id", "job_id", "notification_id", "application_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How the owner calls a route with success."""

    status: int
    settled: bool = True


CASES: Final[dict[str, Case]] = {
    "GET /api/v1/users/me": Case(status=200),
    "POST /api/v1/consents": Case(status=201),
    "GET /api/v1/consents": Case(status=200),
    "DELETE /api/v1/consents/{purpose}": Case(status=204),
    "POST /api/v1/credit/apply": Case(status=201, settled=False),
    "GET /api/v1/credit/offers": Case(status=200),
    "GET /api/v1/credit/offers/{offer_id}": Case(status=200),
    "POST /api/v1/credit/offers/{offer_id}/accept": Case(status=202),
    "GET /api/v1/credit/account": Case(status=200),
    "GET /api/v1/jobs/{job_id}": Case(status=200),
    "GET /api/v1/notifications": Case(status=200),
    "POST /api/v1/notifications/{notification_id}/read": Case(status=204),
    "POST /api/v1/transactions/ingest": Case(status=200),
    "POST /api/v1/emotions/ingest": Case(status=200),
    "GET /api/v1/emotions/summary": Case(status=200),
    "POST /api/v1/prequalification/applications": Case(status=202),
    "GET /api/v1/prequalification/applications": Case(status=200),
    "GET /api/v1/prequalification/applications/{application_id}/status": Case(status=200),
    "GET /api/v1/prequalification/reviews": Case(status=200),
    "POST /api/v1/prequalification/applications/{application_id}/review": Case(status=200),
}


def bodies(person: Caller, feed: Caller) -> dict[str, Any]:
    """Return what the routes that want a body are sent."""
    return {
        "POST /api/v1/consents": a_consent(feed.id),
        "POST /api/v1/transactions/ingest": {"transactions": [a_transaction(person.id)]},
        "POST /api/v1/emotions/ingest": {"events": [an_event(person.id)]},
        "POST /api/v1/prequalification/applications": a_loan_application(),
        "POST /api/v1/prequalification/applications/{application_id}/review": REVIEW,
    }


def ids(operation: Operation) -> str:
    return str(operation)


def path_of(operation: Operation, settled: Settled) -> str:
    return operation.path.format(
        offer_id=settled.offer_id,
        job_id=settled.job_id,
        notification_id=settled.notification_id,
        application_id=settled.application_id,
        purpose=PURPOSE,
    )


def random_path_of(operation: Operation) -> str:
    return operation.path.format(**{name: uuid4() for name in ID_NAMES})


async def call(
    stage: Stage, operation: Operation, path: str, *, caller: Caller | None, **options: Any
) -> Response:
    headers = {} if caller is None else caller.headers
    headers |= options.pop("headers", {})
    return await stage.client.request(operation.method, path, headers=headers, **options)


async def wrong_kind_of(stage: Stage, operation: Operation) -> Caller:
    assert isinstance(operation.rule, CallerRule)
    is_user = operation.rule.kind is PrincipalKind.USER
    return await (stage.a_feed() if is_user else stage.a_person())


async def narrowed(stage: Stage, operation: Operation) -> Caller:
    """Return a caller of the right kind, let in by /token with every scope but the needed ones."""
    assert isinstance(operation.rule, CallerRule)
    if operation.rule.kind is PrincipalKind.CLIENT:
        return await narrowed_feed(stage, CLIENT_SCOPES - operation.rule.scopes)
    login = {"username": f"{uuid4().hex}@example.com", "password": "a quiet lake at dawn"}
    user = await stage.ecs.auth.register(
        email=login["username"], full_name="Ana", password=login["password"]
    )
    offered = {"offers:read", "account:read"} - operation.rule.scopes
    form = {**login, "grant_type": "password", "scope": " ".join(offered)}
    issued = (await stage.client.post("/token", data=form)).json()
    assert set(issued["scope"].split()) == offered
    return Caller(id=user.id, token=issued["access_token"], name=user.email)


async def narrowed_feed(stage: Stage, scopes: frozenset[str]) -> Caller:
    feed = await stage.a_feed(secret="a secret")
    form = {
        "grant_type": "client_credentials",
        "client_id": str(feed.id),
        "client_secret": "a secret",
        "scope": " ".join(scopes),
    }
    issued = (await stage.client.post("/token", data=form)).json()
    assert set(issued["scope"].split()) == scopes
    return Caller(id=feed.id, token=issued["access_token"], name=feed.name)


def test_every_route_says_exactly_once_who_may_call_it() -> None:
    told = Counter(str(operation) for operation in operations())

    assert set(told.values()) == {1}
    assert {str(op) for op in operations() if isinstance(op.rule, PublicRule)} == PUBLIC


def test_the_only_other_addresses_are_the_pages_of_the_description() -> None:
    contexts = list(iter_route_contexts(idle_app().routes))
    known = {operation.path for operation in operations()}

    assert {str(context.path_format) for context in contexts} - known == PAGES


def test_every_guarded_route_has_a_case() -> None:
    assert set(CASES) == {str(operation) for operation in GUARDED}


@pytest.mark.parametrize("operation", GUARDED, ids=ids)
async def test_turns_away_who_has_no_good_token(
    operation: Operation, database: Database, redis_url: str
) -> None:
    strange = {
        "params": {"unknown": "1"},
        "content": b"{",
        "headers": {"Content-Type": "text/plain"},
    }
    async with acting(settings_for(database, redis_url)) as stage:
        path = operation.path.replace("{", "").replace("}", "")
        anonymous = await call(stage, operation, path, caller=None, **strange)
        forger = Caller(id=uuid4(), token="a.b.c", name="")
        forged = await call(stage, operation, path, caller=forger, **strange)

        assert sum((await stage.stored()).values()) == 0
    problem(anonymous, 401, "missing_token")
    assert anonymous.headers["www-authenticate"] == "Bearer"
    problem(forged, 401, "invalid_token")
    assert forged.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("operation", GUARDED, ids=ids)
async def test_turns_away_the_other_kind_of_caller(
    operation: Operation, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        caller = await wrong_kind_of(stage, operation)
        answer = await call(stage, operation, "".join(operation.path), caller=caller)

    problem(answer, 403, "wrong_caller")


@pytest.mark.parametrize("operation", SCOPED, ids=ids)
async def test_turns_away_a_token_narrowed_to_other_scopes(
    operation: Operation, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        caller = await narrowed(stage, operation)
        answer = await call(stage, operation, operation.path, caller=caller, content=b"{")

    assert isinstance(operation.rule, CallerRule)
    problem(answer, 403, "insufficient_scope")
    wanted = " ".join(sorted(operation.rule.scopes))
    assert answer.headers["www-authenticate"].endswith(f'scope="{wanted}"')


@pytest.mark.parametrize("operation", OWNED, ids=ids)
async def test_a_stranger_cannot_tell_other_peoples_things_from_nothing(
    operation: Operation, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        settled = await stage.a_settled_person()
        stranger = await stage.a_person()
        before = await stage.run("SELECT * FROM credit_offers, jobs, notifications")
        theirs = await call(stage, operation, path_of(operation, settled), caller=stranger)
        nobodys = await call(stage, operation, random_path_of(operation), caller=stranger)

        assert await stage.run("SELECT * FROM credit_offers, jobs, notifications") == before
    code = theirs.json()["code"]
    assert timeless(problem(theirs, 404, code)) == timeless(problem(nobodys, 404, code))
    assert {name for name, _ in theirs.headers.items()} == {
        name for name, _ in nobodys.headers.items()
    }


@pytest.mark.parametrize("operation", IDENTIFIED, ids=ids)
@pytest.mark.parametrize(
    "odd",
    ["1", str(2**70), "%00", "%201", "1_000", "%EF%BC%91", "inf", "nan", "..%2F", "%ED%A0%80"],
)
async def test_a_malformed_id_is_an_id_that_nobody_has(
    operation: Operation, odd: str, database: Database, redis_url: str
) -> None:
    path = operation.path
    for name in ID_NAMES:
        path = path.replace(f"{{{name}}}", odd)
    async with acting(settings_for(database, redis_url)) as stage:
        is_user = kind_of(operation) is PrincipalKind.USER
        caller = await (stage.a_person() if is_user else stage.a_feed())
        answer = await call(stage, operation, path, caller=caller)

    problem(answer, 404, "not_found")


@pytest.mark.parametrize("operation", GUARDED, ids=ids)
async def test_serves_its_owner(operation: Operation, database: Database, redis_url: str) -> None:
    case = CASES[str(operation)]
    async with acting(settings_for(database, redis_url)) as stage:
        settled = await stage.a_settled_person()
        person = settled.person if case.settled else await stage.an_eligible_person()
        feed = await stage.a_feed()
        assert isinstance(operation.rule, CallerRule)
        answer = await call(
            stage,
            operation,
            path_of(operation, settled),
            caller=person if operation.rule.kind is PrincipalKind.USER else feed,
            json=bodies(person, feed).get(str(operation)),
        )

    assert answer.status_code == case.status, answer.text


@pytest.mark.parametrize("path", sorted(PAGES - {"/docs/static/{path}"}))
async def test_the_description_is_open_to_everybody(
    path: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        assert (await stage.client.get(path)).status_code == 200
