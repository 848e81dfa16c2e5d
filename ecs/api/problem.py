"""Problem details (RFC 9457): the one form of every error body except those of ``/token``."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Scope

from ecs.domain.prequalification.pan import without_pans
from ecs.wire.field_errors import FieldError

MEDIA_TYPE: Final = "application/problem+json"
REQUEST_ID_KEY: Final = "ecs.request_id"
INSTANCE_CHARACTERS_MAX: Final = 500
TITLES: Final[dict[int, str]] = {413: "Content Too Large", 422: "Unprocessable Content"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything an error answer says; ``members`` are RFC 9457's extension members."""

    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, object] = field(default_factory=dict)


class ProblemResponse(JSONResponse):
    """An answer of the media type ``application/problem+json``."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """Return ASCII: no text a client sent can make this fail."""
        return json.dumps(content, separators=(",", ":"), default=str).encode("ascii")


def render(
    problem: Problem, *, scope: Scope, insides: Mapping[str, Any] | None = None
) -> ProblemResponse:
    """
    Return the HTTP answer; ``insides`` (context, stack) only ever come in development.

    Of a PAN that was written into an address or a field's name, only the mask is repeated.
    """
    body = {
        **problem.members,
        "type": f"urn:ecs:problem:{problem.code}",
        "title": TITLES.get(problem.status) or HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": without_pans(scope["path"])[:INSTANCE_CHARACTERS_MAX],
        "code": problem.code,
        "request_id": scope.get(REQUEST_ID_KEY),
        "errors": [
            {"pointer": without_pans(error.pointer), "code": error.code, "message": error.message}
            for error in problem.errors
        ],
        **(insides or {}),
    }
    return ProblemResponse(body, status_code=problem.status, headers=dict(problem.headers))


class FieldErrorSchema(BaseModel):
    """One thing wrong with the request."""

    model_config = ConfigDict(title="FieldError")

    pointer: str = Field(
        description="RFC 6901 into the body, `?name` for a query parameter, `name:` for a header",
        examples=["/transactions/0/amount", "?limit"],
    )
    code: str = Field(examples=["missing", "unknown_field", "invalid_type", "invalid_value"])
    message: str


class ProblemSchema(BaseModel):
    """An error, as RFC 9457 describes it, with a stable `code` that programs may rely on."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(examples=["urn:ecs:problem:not_found"])
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str
    code: str = Field(pattern="^[a-z][a-z0-9_]*$", examples=["not_found"])
    request_id: str | None
    errors: list[FieldErrorSchema]


PROBLEM_CONTENT: Final = {
    MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}},
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that may answer with these error statuses."""
    return {status: problem_response(status) for status in statuses}


def problem_response(
    status: int, *, members: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the OpenAPI description of one error status; ``members`` are what it may add."""
    title = TITLES.get(status) or HTTPStatus(status).phrase
    if not members:
        return {"description": title, "content": PROBLEM_CONTENT}
    added = {"type": "object", "properties": dict(members)}
    schema = {"allOf": [PROBLEM_CONTENT[MEDIA_TYPE]["schema"], added]}
    return {"description": title, "content": {MEDIA_TYPE: {"schema": schema}}}


def problem_schemas() -> dict[str, Any]:
    """Return the component schemas that ``problem_responses`` refers to."""
    models: Iterable[tuple[str, type[BaseModel]]] = (
        ("Problem", ProblemSchema),
        ("FieldError", FieldErrorSchema),
    )
    schemas = {
        name: model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, model in models
    }
    schemas["Problem"].pop("$defs")
    schemas["Problem"]["properties"]["errors"]["items"] = {
        "$ref": "#/components/schemas/FieldError"
    }
    return schemas
