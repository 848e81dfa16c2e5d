"""
The description of the API is true.

That it names every status is checked at every answer of every test: see ``assert_described``.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from httpx import Request, Response
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from ecs.api.access import CallerRule
from ecs.api.docs_pages import HTTP_METHODS
from tests.api.routes_support import (
    APPLICATIONS,
    PURPOSE,
    Operation,
    Stage,
    a_consent,
    a_transaction,
    acting,
    an_event,
    assert_described,
    idle_app,
    operations,
    settings_for,
)
from tests.builders import Database

DECIDED: Final = {"decision": "PRE_APPROVED", "reason": "The employer was asked."}
DOCUMENT: Final[dict[str, Any]] = idle_app().openapi()
OPERATIONS: Final = list(operations())


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return found


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Return every object of a document."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from walk(child)


def resolved(reference: str) -> Any:
    node: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def schemas() -> Iterator[Any]:
    yield from DOCUMENT["components"]["schemas"].values()
    for node in walk(DOCUMENT["paths"]):
        if isinstance(node.get("schema"), dict):
            yield node["schema"]


def test_is_openapi_3_1_and_names_what_it_describes() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"]["title"] == "Empathic Credit System"
    assert set(DOCUMENT["paths"]) == {operation.path for operation in OPERATIONS}


def test_every_schema_is_json_schema() -> None:
    for schema in schemas():
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    references = {node["$ref"] for node in walk(DOCUMENT) if isinstance(node.get("$ref"), str)}

    assert references
    assert all(resolved(reference) for reference in references)


def test_operations_have_ids_of_their_own() -> None:
    names = [described(operation)["operationId"] for operation in OPERATIONS]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_operation_is_described_in_full(operation: Operation) -> None:
    found = described(operation)
    in_path = {
        parameter["name"] for parameter in found.get("parameters", []) if parameter["in"] == "path"
    }

    assert found["summary"]
    assert found["description"]
    assert in_path == set(re.findall(r"\{(\w+)\}", operation.path))
    assert all(response["description"] for response in found["responses"].values())
    if isinstance(operation.rule, CallerRule):
        (security,) = found["security"]
        assert security == {operation.rule.kind.value: sorted(operation.rule.scopes)}
    else:
        assert "security" not in found


async def test_an_undescribed_status_would_be_noticed() -> None:
    response = Response(418, request=Request("GET", "http://ecs/api/v1/credit/offers"))

    with pytest.raises(AssertionError, match="418"):
        await assert_described(response)


async def answers(stage: Stage) -> list[Response]:
    """Return one good answer of every operation that has a body to answer with."""
    settled, fresh = await stage.a_settled_person(), await stage.an_eligible_person()
    feed = await stage.a_feed(secret="s")
    client, headers = stage.client, settled.person.headers
    person = {"email": "ana@example.com", "full_name": "Ana", "password": "a quiet lake at dawn"}
    form = {"grant_type": "client_credentials", "client_id": feed.name, "client_secret": "s"}
    moods = {"events": [an_event(settled.person.id), an_event(fresh.id), 1]}
    batch, consent = {"transactions": [a_transaction(fresh.id), 1]}, a_consent(feed.id)
    review = f"{APPLICATIONS}/{settled.application_id}/review"
    paths = [
        *(APPLICATIONS, f"{APPLICATIONS}/{settled.application_id}/status"),
        *("/api/v1/users/me", "/api/v1/credit/offers", f"/api/v1/credit/offers/{settled.offer_id}"),
        *("/api/v1/credit/account", f"/api/v1/jobs/{settled.job_id}", "/api/v1/notifications"),
        *("/api/v1/consents", f"/api/v1/consents/texts/{PURPOSE}", "/api/v1/emotions/summary"),
        *("/health", "/healthz", "/ready"),
    ]
    return [
        await client.post("/api/v1/users", json=person),
        await client.post("/token", data=form),
        await client.post("/api/v1/transactions/ingest", json=batch, headers=feed.headers),
        await client.post("/api/v1/consents", json=consent, headers=headers),
        await client.post("/api/v1/consents", json=consent, headers=headers),
        await client.post("/api/v1/emotions/ingest", json=moods, headers=feed.headers),
        await client.post("/api/v1/credit/apply", headers=fresh.headers),
        await client.post("/api/v1/credit/apply", headers=fresh.headers),
        await stage.accept(settled.person, settled.offer_id),
        await stage.submit(settled.person),
        await client.get("/api/v1/prequalification/reviews", headers=feed.headers),
        await client.post(review, json=DECIDED, headers=feed.headers),
        *[await client.get(path, headers=headers) for path in paths],
    ]


def schema_of(response: Response) -> dict[str, Any]:
    """Return the described schema of an answer, with everything it refers to."""
    path, method = response.request.url.path, response.request.method
    (operation,) = [
        operation
        for operation in OPERATIONS
        if operation.method == method
        and re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", operation.path), path)
    ]
    content = described(operation)["responses"][str(response.status_code)]["content"]
    return {**content["application/json"]["schema"], "components": DOCUMENT["components"]}


async def test_answers_are_as_the_description_says(database: Database, redis_url: str) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        given = await answers(stage)

    assert {(answer.request.method, answer.status_code) for answer in given} == {
        *(("POST", status) for status in (200, 201, 202)),
        ("GET", 200),
    }
    for answer in given:
        Draft202012Validator(schema_of(answer)).validate(answer.json())


async def test_the_document_is_what_the_application_serves(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        served = (await stage.client.get("/openapi.json")).json()

    assert served == DOCUMENT
    assert {method for item in served["paths"].values() for method in item} <= HTTP_METHODS
