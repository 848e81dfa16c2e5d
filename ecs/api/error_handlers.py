"""The one place where errors become HTTP responses."""

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Match

from ecs.api.exceptions import ApiError, TokenRequestError
from ecs.api.problem import Problem, render
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
from ecs.wire.field_errors import FieldError, field_errors

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
    408: "request_timeout",
    413: "payload_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    431: "request_header_fields_too_large",
}
DETAIL_BY_STATUS: Final[dict[int, str]] = {
    400: "The request cannot be read.",
    404: Missing.detail,
    405: "This address does not know that method; the Allow header lists those it knows.",
    408: "The request took too long to arrive.",
    413: TooLarge.detail,
    414: "The address is too long.",
    431: "The request headers are too many or too large.",
}
CLIENT_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="ecs"'}
INVALID_TOKEN_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
# Where no route is found but a method is refused, files are: a mount names no methods.
FILE_METHODS: Final = frozenset({"GET", "HEAD"})
NOT_FOUND: Final = Problem(status=404, code="not_found", detail=Missing.detail)
INTERNAL_ERROR: Final = Problem(
    status=500,
    code="internal_error",
    detail="Something failed on our side; it is noted under the request id.",
)
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


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
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods_at(request))
        return self._render(request, problem_of_status(status, headers=headers), error)

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
    """Return what a caller is told about a refusal: constants of its class, and its members."""
    return Problem(
        status=status_of(error),
        code=error.code,
        detail=error.detail,
        errors=tuple(_pointed_at(error)),
        headers=_headers_of(error),
        members=error.members,
    )


def problem_of_status(status: int, *, headers: Mapping[str, str] | None = None) -> Problem:
    """Return what a caller is told about a refusal that has no class of its own."""
    return Problem(
        status=status,
        code=CODE_BY_STATUS.get(status, HTTPStatus(status).name.lower()),
        detail=DETAIL_BY_STATUS.get(status, HTTPStatus(status).description),
        headers=headers or {},
    )


def insides_of(error: BaseException) -> Mapping[str, Any]:
    """Return what a developer wants to know about an error. Never for production."""
    context = getattr(error, "context", {})
    return {
        "context": {"error": type(error).__name__, **context},
        "stack": _stack_of(error),
    }


def _methods_at(request: Request) -> list[str]:
    """Return every method of the address: each is a route, and the router names only the first."""
    methods: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        match, _ = context.matches(request.scope)
        if match is not Match.NONE:
            methods |= context.methods or set()
    return sorted(methods or FILE_METHODS)


def _stack_of(error: BaseException) -> list[str]:
    if isinstance(error, RequestValidationError):  # Its text repeats what was sent: passwords too.
        return [*traceback.format_tb(error.__traceback__), type(error).__name__]
    return traceback.format_exception(error)


def _pointed_at(error: BusinessLogicError) -> Iterator[FieldError]:
    if isinstance(error, Invalid) and error.pointer:
        yield FieldError(pointer=error.pointer, code=error.code, message=error.detail)


def _headers_of(error: BusinessLogicError) -> Mapping[str, str]:
    if isinstance(error, Unauthenticated):
        return INVALID_TOKEN_CHALLENGE
    if isinstance(error, Busy):
        return {"Retry-After": str(error.retry_after_seconds)}
    return {}
