"""
What surrounds every request: an id, one canonical log line, limits, safe headers.

Pure ASGI: behind Starlette's ``BaseHTTPMiddleware`` the context variables that an endpoint binds
are not visible, and a client that goes away drains the connection pool.
"""

import ipaddress
import re
import time
import traceback
from dataclasses import dataclass
from typing import Any, Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import ResponseValidationError
from pydantic import ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from ecs.api.error_handlers import INTERNAL_ERROR, insides_of, problem_of
from ecs.api.metrics import MetricsMiddleware, observe_request, was_read
from ecs.api.problem import REQUEST_ID_KEY, render
from ecs.api.request_limits import RequestLimits, RequestLimitsMiddleware
from ecs.domain.measures import HTTP_IN_PROGRESS
from ecs.domain.prequalification.pan import without_pans
from ecs.domain.telemetry import UNMEASURED, Measures
from ecs.services.exceptions import Busy
from ecs.telemetry import UNWATCHED, Telemetry

log = structlog.get_logger(__name__)

LIMITS: Final = RequestLimits()
REQUESTS_MAX: Final = 200
USER_AGENT_CHARACTERS_MAX: Final = 120
CLIENT_CLOSED_REQUEST: Final = 499  # Nginx's word for a client that went away
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
SAFE_HEADERS: Final[dict[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def install(
    app: FastAPI,
    *,
    development: bool,
    telemetry: Telemetry = UNWATCHED,
    limits: RequestLimits = LIMITS,
) -> None:
    """Surround ``app``; ``development`` adds the stack to the answer of an unforeseen error."""
    measures = telemetry.measures
    # The one added last is the outermost.
    app.add_middleware(RequestLimitsMiddleware, limits=limits)
    app.add_middleware(ConcurrencyLimitMiddleware, requests_max=REQUESTS_MAX, measures=measures)
    app.add_middleware(MetricsMiddleware, exposition=telemetry.exposition)
    app.add_middleware(RequestContextMiddleware, development=development, measures=measures)
    app.add_middleware(SecurityHeadersMiddleware)


class RequestContextMiddleware:
    """Gives every request its id, its log line, its measure and, if all else fails, its 500."""

    def __init__(self, app: ASGIApp, *, development: bool, measures: Measures = UNMEASURED) -> None:
        self.app = app
        self.development = development
        self.measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope=scope, send=send, request_id=request_id_of(scope))
        scope[REQUEST_ID_KEY] = exchange.request_id
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                await self._answer(exchange, receive)
            finally:
                self._note(exchange)

    def _note(self, exchange: "Exchange") -> None:
        if was_read(exchange.scope):
            return
        log.info("http.request", **exchange.summary())
        observe_request(
            self.measures,
            method=exchange.scope["method"],
            route=route_template(exchange.scope),
            status=exchange.final_status,
            seconds=exchange.seconds,
        )

    async def _answer(self, exchange: "Exchange", receive: Receive) -> None:
        try:
            await self.app(exchange.scope, receive, exchange.send_with_id)
        except ClientDisconnect:
            return  # Nobody is left to be answered, and nothing is wrong with us.
        except Exception as error:  # noqa: BLE001  (the last net under every request)
            log_failure(error)
            if exchange.status is None:
                insides = insides_of(error) if self.development else None
                response = render(INTERNAL_ERROR, scope=exchange.scope, insides=insides)
                await response(exchange.scope, receive, exchange.send_with_id)


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and what became of it."""

    scope: Scope
    send: Send
    request_id: str
    status: int | None = None
    started_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.started_seconds = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Return for how long it has been going on."""
        return time.perf_counter() - self.started_seconds

    @property
    def final_status(self) -> int:
        """Return what the client was told, or that it did not wait for it."""
        return self.status or CLIENT_CLOSED_REQUEST

    async def send_with_id(self, message: Message) -> None:
        """Pass a message on, with the request id in the head of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self.request_id
        await self.send(message)

    def summary(self) -> dict[str, Any]:
        """Return the canonical log line: never a raw path, a query or a body."""
        agent = Headers(scope=self.scope).get("user-agent", "")
        return {
            "method": self.scope["method"],
            "route": route_template(self.scope),
            "status": self.final_status,
            "duration_ms": round(self.seconds * 1000, 1),
            "client": client_network(self.scope),
            "user_agent": without_pans(agent)[:USER_AGENT_CHARACTERS_MAX],
        }


class ConcurrencyLimitMiddleware:
    """
    Refuses what one process cannot serve in time, in our own words.

    uvicorn has a limit of its own, set higher: its answer is plain text and leaves no log line.
    """

    def __init__(self, app: ASGIApp, *, requests_max: int, measures: Measures = UNMEASURED) -> None:
        self.app = app
        self.requests_max = requests_max
        self.running = 0
        measures.watch(HTTP_IN_PROGRESS, lambda: self.running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.running >= self.requests_max:
            await render(problem_of(Busy()), scope=scope)(scope, receive, send)
            return
        self.running += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.running -= 1


class SecurityHeadersMiddleware:
    """Adds the headers that keep an answer from being sniffed, framed, cached or run."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_safely)


def request_id_of(scope: Scope) -> str:
    """Return the client's request id when it is harmless, else a new one."""
    offered = Headers(scope=scope).get("x-request-id", "")
    harmless = REQUEST_ID.fullmatch(offered) is not None and without_pans(offered) == offered
    return offered if harmless else str(uuid7())


def client_network(scope: Scope) -> str | None:
    """Return the caller's address cut to /24 or /48: enough to see patterns, not a person."""
    try:
        address = ipaddress.ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return None
    prefix = 24 if address.version == 4 else 48  # noqa: PLR2004  (IPv4)
    return str(ipaddress.ip_network((address, prefix), strict=False))


def route_template(scope: Scope) -> str | None:
    """Return the path as the route spells it, or None when no route was found."""
    # An included route knows its whole path only through FastAPI's context of the inclusion.
    context = scope.get("fastapi", {}).get("effective_route_context")
    for place in (context, scope.get("route")):
        path = getattr(place, "path_format", None) or getattr(place, "path", None)
        if path:
            return str(path)
    return None


def log_failure(error: Exception) -> None:
    """Log an unforeseen error with its stack, once."""
    if isinstance(error, ValidationError | ResponseValidationError):
        # Their texts repeat the values that did not fit.
        stack = "".join(traceback.format_tb(error.__traceback__))
        log.error("http.failed", error=type(error).__name__, stack=stack)
        return
    log.error("http.failed", error=type(error).__name__, exc_info=error)
