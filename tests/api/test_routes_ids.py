"""What is no id of ours, at every place of every address where an id or a number may stand."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from httpx import Response

from tests.api.routes_support import (
    Operation,
    Stage,
    acting,
    idle_app,
    operations,
    problem,
    settings_for,
)
from tests.api.test_routes_hostile import caller_of, path_of
from tests.builders import Database
from tests.corpora import odd_ids

ODD: Final = odd_ids()
# What is odd as an id is a good number where a number is asked for.
NUMBERS: Final = {"a number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the address of an operation a caller may write something."""

    operation: Operation
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.operation} {self.name}"


def places() -> Iterator[Place]:
    """Return every parameter that the description names."""
    paths = idle_app().openapi()["paths"]
    for operation in operations():
        described = paths[operation.path][operation.method.lower()]
        for parameter in described.get("parameters", []):
            yield Place(operation=operation, name=parameter["name"], kind=parameter["in"])


PLACES: Final = list(places())


def in_path(place: Place, segment: str) -> str:
    return place.operation.path.replace(f"{{{place.name}}}", segment)


async def write(stage: Stage, place: Place, segments: dict[str, str]) -> dict[str, Response]:
    """Write every text in this place; check that nothing was stored; return the answers."""
    settled = await stage.a_settled_person()
    caller = await caller_of(stage, place.operation, settled)
    whole = path_of(place.operation, settled)
    before = await stage.stored()
    addresses = {
        name: in_path(place, text) if place.kind == "path" else f"{whole}?{place.name}={text}"
        for name, text in segments.items()
    }
    answers = {
        name: await stage.client.request(
            place.operation.method, address, headers=caller.headers if caller else {}
        )
        for name, address in addresses.items()
    }
    assert await stage.stored() == before
    return answers


def test_the_places_are_known() -> None:
    assert {(place.kind, place.name) for place in PLACES} == {
        *(("path", name) for name in ("offer_id", "job_id", "notification_id", "purpose")),
        *(("query", name) for name in ("limit", "after", "days", "client_id", "locale", "version")),
        *(("path", "application_id"), ("query", "status"), ("header", "Idempotency-Key")),
    }


@pytest.mark.parametrize("place", [one for one in PLACES if one.kind == "path"], ids=str)
async def test_nothing_is_found_at_an_odd_id(
    place: Place, database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        answers = await write(stage, place, ODD)

    for answer in answers.values():
        problem(answer, 404, answer.json()["code"])


@pytest.mark.parametrize("place", [one for one in PLACES if one.kind == "query"], ids=str)
async def test_an_odd_parameter_is_refused(
    place: Place, database: Database, redis_url: str
) -> None:
    numeric = place.name in {"limit", "days"}
    segments = {name: text for name, text in ODD.items() if not (numeric and name in NUMBERS)}
    async with acting(settings_for(database, redis_url)) as stage:
        answers = await write(stage, place, segments)

    for answer in answers.values():
        problem(answer, answer.status_code, answer.json()["code"])
    assert {answer.status_code for answer in answers.values()} <= {404, 422}
