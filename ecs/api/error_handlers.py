"""The one place where errors become HTTP responses."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ecs.api.exceptions import ApiError, TokenRequestError
from ecs.api.problem import FieldError, Problem, render
from ecs.services.exceptions import (
    BusinessLogicError,
    Busy,
    Conflict,
    ConflictError,
    DatabaseUnavailable,
    Forbidden,
    Invalid,
    InvalidClient,
    InvalidValueError,
    Missing,
    TokenRefused,
    TooLarge,
    Unauthenticated,
)

log = structlog.get_logger(__name__)

STATUS_BY_FAMILY: Final[dict[type[BusinessLogicError], int]] = {
    Missing: 404,
    Conflict: 409,
    TooLarge: 413,
    Unauthenticated: 401,
    Forbidden: 403,
    Busy: 503,
    BusinessLogicError: 422,
}
CODE_BY_STATUS: Final[dict[int, str]] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}
DETAIL_BY_STATUS: Final[dict[int, str]] = {
    400: "The request cannot be read.",
    404: Missing.detail,
    405: "This address does not know that method; the Allow header lists those it knows.",
    413: TooLarge.detail,
}
CLIENT_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="ecs"'}
INVALID_TOKEN_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
NOT_FOUND: Final = Problem(status=404, code="not_found", detail=Missing.detail)
INTERNAL_ERROR: Final = Problem(
    status=500,
    code="internal_error",
    detail="Something failed on our side; it is noted under the request id.",
)
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
ERRORS_MAX: Final = 100
POINTER_CHARACTERS_MAX: Final = 200

MESSAGES: Final[dict[str, str]] = {
    "missing": "Required; add it.",
    "unknown_field": "Unknown here; leave it out.",
    "invalid_type": "Of the wrong type; the API description says which it takes.",
    "invalid_value": "Not acceptable; the API description says what is.",
    "too_short": "Too short, or too few.",
    "too_long": "Too long, or too many.",
    "out_of_range": "Outside the permitted range.",
}
CODE_BY_PYDANTIC_TYPE: Final[dict[str, str]] = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "string_too_short": "too_short",
    "too_short": "too_short",
    "string_too_long": "too_long",
    "too_long": "too_long",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "finite_number": "out_of_range",
    "int_parsing_size": "out_of_range",
    "decimal_max_digits": "out_of_range",
}


def install(app: FastAPI, *, development: bool) -> None:
    """Register every handler; ``development`` adds an error's insides to its answer."""
    handlers = Handlers(development=development)
    app.add_exception_handler(ApiError, handlers.on_api_error)
    app.add_exception_handler(BusinessLogicError, handlers.on_business_logic_error)
    app.add_exception_handler(DatabaseUnavailable, handlers.on_database_unavailable)
    app.add_exception_handler(InvalidValueError, handlers.on_invalid_value)
    app.add_exception_handler(ConflictError, handlers.on_conflict)
    app.add_exception_handler(RequestValidationError, handlers.on_validation_error)
    app.add_exception_handler(HTTPException, handlers.on_http_exception)
    app.add_exception_handler(TokenRequestError, handlers.on_token_request_error)
    app.add_exception_handler(TokenRefused, handlers.on_token_refused)


def status_of(error: BusinessLogicError) -> int:
    """Return the HTTP status of the nearest known ancestor of ``error``."""
    return next(STATUS_BY_FAMILY[cls] for cls in type(error).__mro__ if cls in STATUS_BY_FAMILY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """One method per family of errors. What none of them knows is the middleware's 500."""

    development: bool

    async def on_api_error(self, request: Request, error: Exception) -> Response:
        """Answer what the API layer refused by itself."""
        assert isinstance(error, ApiError)
        return self._render(request, error.problem, error)

    async def on_business_logic_error(self, request: Request, error: Exception) -> Response:
        """Say no, with a code that clients may rely on."""
        assert isinstance(error, BusinessLogicError)
        return self._render(request, problem_of(error), error)

    async def on_database_unavailable(self, request: Request, error: Exception) -> Response:
        """Ask for patience: the database is away, or wants the transaction again."""
        log.warning("http.database-unavailable", reason=str(error))
        return self._render(request, problem_of(Busy()), error)

    async def on_conflict(self, request: Request, error: Exception) -> Response:
        """Answer a constraint that no use case foresaw: another request was faster."""
        log.warning("http.constraint-refused", constraint=str(error))
        return self._render(request, problem_of(Conflict()), error)

    async def on_invalid_value(self, request: Request, error: Exception) -> Response:
        """Answer a value that passed validation and that the database cannot hold."""
        log.warning("http.value-refused-by-database", reason=str(error))
        return self._render(request, problem_of(Invalid()), error)

    async def on_validation_error(self, request: Request, error: Exception) -> Response:
        """List what is wrong; a malformed id in the path is an id that nobody has."""
        assert isinstance(error, RequestValidationError)
        details = error.errors()
        if any(detail["loc"][:1] == ("path",) for detail in details):
            return self._render(request, NOT_FOUND, error)
        problem = Problem(
            status=422,
            code="validation_failed",
            detail="The request is well-formed but wrong; `errors` says where.",
            errors=tuple(field_errors(details)),
        )
        return self._render(request, problem, error)

    async def on_http_exception(self, request: Request, error: Exception) -> Response:
        """Answer what the framework refused, in our own words."""
        assert isinstance(error, HTTPException)
        status = error.status_code
        headers = dict(error.headers or {})
        if status < HTTPStatus.BAD_REQUEST:
            return Response(status_code=status, headers=headers)
        problem = Problem(
            status=status,
            code=CODE_BY_STATUS.get(status, HTTPStatus(status).name.lower()),
            detail=DETAIL_BY_STATUS.get(status, HTTPStatus(status).description),
            headers=headers,
        )
        return self._render(request, problem, error)

    async def on_token_request_error(self, _: Request, error: Exception) -> Response:
        """Answer as RFC 6749 section 5.2 wants it."""
        assert isinstance(error, TokenRequestError)
        body = {"error": error.error, "error_description": error.description}
        return JSONResponse(body, status_code=error.status, headers={**error.headers, **NO_STORE})

    async def on_token_refused(self, request: Request, error: Exception) -> Response:
        """Answer a login that failed in the same form."""
        assert isinstance(error, TokenRefused)
        headers = CLIENT_CHALLENGE if isinstance(error, InvalidClient) else {}
        status = HTTPStatus.UNAUTHORIZED if headers else HTTPStatus.BAD_REQUEST
        refused = TokenRequestError(error.code, error.detail, status=status, headers=headers)
        return await self.on_token_request_error(request, refused)

    def _render(self, request: Request, problem: Problem, error: Exception) -> Response:
        insides = insides_of(error) if self.development else None
        return render(problem, scope=request.scope, insides=insides)


def problem_of(error: BusinessLogicError) -> Problem:
    """Return what a caller is told about a refusal: constants of its class, nothing else."""
    return Problem(
        status=status_of(error),
        code=error.code,
        detail=error.detail,
        errors=tuple(_pointed_at(error)),
        headers=_headers_of(error),
    )


def insides_of(error: BaseException) -> Mapping[str, Any]:
    """Return what a developer wants to know about an error. Never for production."""
    context = getattr(error, "context", {})
    return {
        "context": {"error": type(error).__name__, **context},
        "stack": _stack_of(error),
    }


def _stack_of(error: BaseException) -> list[str]:
    if isinstance(error, RequestValidationError):  # Its text repeats what was sent: passwords too.
        return [*traceback.format_tb(error.__traceback__), type(error).__name__]
    return traceback.format_exception(error)


def field_errors(details: Sequence[Any]) -> Iterator[FieldError]:
    """Turn pydantic's complaints into ours, without the values it would repeat."""
    for detail in details[:ERRORS_MAX]:
        own = detail["type"] in MESSAGES and detail["type"] not in CODE_BY_PYDANTIC_TYPE
        code = detail["type"] if own else _code_of(detail["type"])
        message = detail["msg"] if own else MESSAGES[code]
        yield FieldError(pointer=pointer_of(detail["loc"]), code=code, message=message)


def pointer_of(location: Sequence[str | int]) -> str:
    """Return ``/a/0/b`` for a place in the body, ``?name`` in the query, ``name:`` in a header."""
    source, *steps = location
    if source == "query":
        text = "?" + ".".join(str(step) for step in steps)
    elif source in {"header", "cookie"}:
        text = ".".join(str(step) for step in steps) + ":"
    else:
        text = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)
    return text[:POINTER_CHARACTERS_MAX]


def _code_of(pydantic_type: str) -> str:
    if pydantic_type in CODE_BY_PYDANTIC_TYPE:
        return CODE_BY_PYDANTIC_TYPE[pydantic_type]
    typed = pydantic_type.endswith(("_type", "_parsing", "_attributes_type"))
    return "invalid_type" if typed else "invalid_value"


def _pointed_at(error: BusinessLogicError) -> Iterator[FieldError]:
    if isinstance(error, Invalid) and error.pointer:
        yield FieldError(pointer=error.pointer, code=error.code, message=error.detail)


def _headers_of(error: BusinessLogicError) -> Mapping[str, str]:
    if isinstance(error, Unauthenticated):
        return INVALID_TOKEN_CHALLENGE
    if isinstance(error, Busy):
        return {"Retry-After": str(error.retry_after_seconds)}
    return {}
