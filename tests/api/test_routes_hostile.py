"""Hostile bodies and tokens against every route that reads them: refused, and nothing stored."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pytest
from httpx import Response

from ecs.api.access import CallerRule
from ecs.domain.principal import PrincipalKind
from tests.api.routes_support import (
    PURPOSE,
    SIGNING_KEY,
    Caller,
    Operation,
    Settled,
    Stage,
    acting,
    idle_app,
    operations,
    problem,
    settings_for,
    timeless,
)
from tests.builders import Database
from tests.corpora import Issuer, bad_tokens, good_claims, hostile_json, odd_json, signed

JSON: Final = {"Content-Type": "application/json"}
HOSTILE: Final = hostile_json()
ODD: Final = odd_json()
MALFORMED_FORMS: Final = {
    "NUL": b"grant_type=password&username=%00&password=%00",
    "bad UTF-8": b"grant_type=password&username=%ff%fe&password=x",
    "surrogate": b"grant_type=password&username=%ed%a0%80&password=x",
    "raw bytes": b"\xff\xfe=\x00",
    "ten thousand fields": b"&".join(b"a%d=1" % number for number in range(10_000)),
    "only separators": b"&&&===;;;",
}


def reading_operations() -> Iterator[Operation]:
    """Return every operation whose description says that it reads JSON."""
    paths = idle_app().openapi()["paths"]
    for operation in operations():
        described = paths[operation.path][operation.method.lower()]
        if "application/json" in described.get("requestBody", {}).get("content", {}):
            yield operation


READING: Final = list(reading_operations())
GUARDED: Final = [one for one in operations() if isinstance(one.rule, CallerRule)]


def path_of(operation: Operation, settled: Settled) -> str:
    return operation.path.format(
        offer_id=settled.offer_id,
        notification_id=settled.notification_id,
        job_id=settled.job_id,
        application_id=settled.application_id,
        purpose=PURPOSE,
    )


async def caller_of(stage: Stage, operation: Operation, settled: Settled) -> Caller | None:
    if not isinstance(operation.rule, CallerRule):
        return None
    is_user = operation.rule.kind is PrincipalKind.USER
    return settled.person if is_user else await stage.a_feed()


async def throw(
    stage: Stage, operation: Operation, bodies: dict[str, bytes]
) -> dict[str, Response]:
    """Send every body to an operation; check that nothing was stored; return the answers."""
    settled = await stage.a_settled_person()
    caller = await caller_of(stage, operation, settled)
    path = path_of(operation, settled)
    before = await stage.stored()
    headers = {**JSON, **(caller.headers if caller else {})}
    answers = {
        name: await stage.client.request(operation.method, path, content=body, headers=headers)
        for name, body in bodies.items()
    }
    assert await stage.stored() == before
    return answers


def test_the_routes_that_read_are_known() -> None:
    assert {str(operation) for operation in READING} == {
        "POST /api/v1/users",
        "POST /api/v1/consents",
        "DELETE /api/v1/consents/{purpose}",
        "POST /api/v1/emotions/ingest",
        "POST /api/v1/credit/apply",
        "POST /api/v1/credit/offers/{offer_id}/accept",
        "POST /api/v1/notifications/{notification_id}/read",
        "POST /api/v1/prequalification/applications",
        "POST /api/v1/prequalification/applications/{application_id}/review",
        "POST /api/v1/transactions/ingest",
    }


@pytest.mark.parametrize("operation", READING, ids=str)
async def test_hostile_json_is_malformed_everywhere(
    operation: Operation, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        answers = await throw(stage, operation, HOSTILE)

    for answer in answers.values():
        problem(answer, 400, "malformed_json")


@pytest.mark.parametrize("operation", READING, ids=str)
async def test_odd_json_is_wrong_everywhere(
    operation: Operation, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        answers = await throw(stage, operation, ODD)

    for answer in answers.values():
        problem(answer, 422, "validation_failed")


@pytest.mark.parametrize("operation", READING, ids=str)
@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json; charset=utf-16"])
async def test_other_media_types_are_unsupported_everywhere(
    operation: Operation, content_type: str, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        settled = await stage.a_settled_person()
        caller = await caller_of(stage, operation, settled)
        path = path_of(operation, settled)
        headers = {**(caller.headers if caller else {}), "Content-Type": content_type}
        answer = await stage.client.request(operation.method, path, content=b"{}", headers=headers)

    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("name", MALFORMED_FORMS)
async def test_a_hostile_form_is_an_invalid_request(
    name: str, database: Database, redis_url: str
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with acting(settings_for(database, redis_url)) as stage:
        answer = await stage.client.post("/token", content=MALFORMED_FORMS[name], headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.headers["cache-control"] == "no-store"


def issuer_for(person: Caller) -> Issuer:
    return Issuer(
        secret=SIGNING_KEY,
        kid="1",
        issuer="ecs",
        audience="ecs-api",
        subject=str(person.id),
        now=int(datetime.now(UTC).timestamp()),
    )


async def present(
    stage: Stage, token: str, method: str = "GET", path: str = "/api/v1/users/me"
) -> Response:
    header = (b"authorization", b"Bearer " + token.encode())
    return await stage.client.request(method, path, headers=[header])


@pytest.mark.parametrize("operation", GUARDED, ids=str)
async def test_every_bad_token_gets_the_same_answer_everywhere(
    operation: Operation, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        settled = await stage.a_settled_person()
        # A blank before a token is no part of it.
        tokens = bad_tokens(issuer_for(settled.person))
        tokens.pop("leading blank")
        path, before = path_of(operation, settled), await stage.stored()
        answers = [await present(stage, token, operation.method, path) for token in tokens.values()]
        assert await stage.stored() == before

    assert len(answers) > 100
    assert len({str(timeless(problem(answer, 401, "invalid_token"))) for answer in answers}) == 1
    challenges = {answer.headers["www-authenticate"] for answer in answers}
    assert challenges == {'Bearer error="invalid_token"'}


async def test_the_token_that_the_bad_ones_differ_from_is_good(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        issuer = issuer_for(await stage.a_person())
        header = '{"alg": "HS256", "typ": "at+jwt", "kid": "1"}'
        token = signed(issuer, header, json.dumps(good_claims(issuer)))

        assert (await present(stage, token)).status_code == 200
