"""
What Prometheus reads, and what it reads about requests.

``/metrics`` is no route: it answers while every place in ``ConcurrencyLimitMiddleware`` is taken,
is not described, and exists only on an instance's own port. Whatever a proxy has passed on finds
nothing there, as at any other unknown address.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ecs.api.error_handlers import problem_of_status
from ecs.api.problem import render
from ecs.domain.measures import HTTP_ANSWERS, HTTP_SECONDS, OTHER, UNMATCHED
from ecs.domain.telemetry import Measures

PATH: Final = "/metrics"
METHOD: Final = "GET"
# Where balancers and operators ask again and again how we are.
HEALTH_PATHS: Final = frozenset({"/health", "/healthz", "/ready"})
# As prometheus-client says of the form it writes.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# What each of our proxies sets, whatever the client has sent.
PROXIED: Final = "x-forwarded-for"
READ_KEY: Final = "ecs.metrics_read"
# A client can write any word there; a label may take only these.
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class MetricsMiddleware:
    """Answers at ``/metrics``. Without an ``exposition`` nothing is there."""

    def __init__(self, app: ASGIApp, *, exposition: Callable[[], bytes] | None) -> None:
        self.app = app
        self.exposition = exposition

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer who asks for the measures; pass everybody else on."""
        if self.exposition is None or not is_for_metrics(scope):
            await self.app(scope, receive, send)
            return
        if scope["method"] == METHOD:
            scope[READ_KEY] = True
            # Thousands of lines take milliseconds, in which nobody else would be answered.
            shown = await asyncio.to_thread(self.exposition)
            response = Response(shown, headers={"Content-Type": CONTENT_TYPE})
        else:
            response = render(problem_of_status(405, headers={"Allow": METHOD}), scope=scope)
        await response(scope, receive, send)


def is_for_metrics(scope: Scope) -> bool:
    """Return whether somebody asks for the measures on this instance's own port."""
    return scope["type"] == "http" and scope["path"] == PATH and PROXIED not in Headers(scope=scope)


def was_read(scope: Scope) -> bool:
    """Return whether this was Prometheus, who is neither measured nor logged every few seconds."""
    return READ_KEY in scope


def expect_requests(app: FastAPI, measures: Measures) -> None:
    """
    Have every described route begin at nought, for the answers that it hopes to give.

    Otherwise a series would begin with its first answers, and no rate would see those.
    """
    for route, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            for status in operation["responses"]:
                if status.startswith("2"):
                    measures.expect(HTTP_SECONDS, method=method.upper(), route=route, status=status)


def observe_request(
    measures: Measures, *, method: str, route: str | None, status: int, seconds: float
) -> None:
    """Measure one request: by route template and known method, never by what a client wrote."""
    measures.observe(
        HTTP_SECONDS,
        seconds,
        method=method if method in METHODS else OTHER,
        route=route or UNMATCHED,
        status=str(status),
    )
    if route not in HEALTH_PATHS:  # They would thin errors out.
        measures.count(HTTP_ANSWERS, status_class=f"{status // 100}xx")
