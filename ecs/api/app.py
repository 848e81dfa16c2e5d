"""The HTTP application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from starlette.types import Scope

from ecs import VERSION
from ecs.api import docs_pages, error_handlers, metrics, middleware
from ecs.api.routes import (
    auth,
    consents,
    credit,
    emotions,
    health,
    jobs,
    notifications,
    prequalification,
    transactions,
)
from ecs.api.tracing import TracedRequestMiddleware
from ecs.bootstrap import Application, application
from ecs.config import Settings
from ecs.telemetry import UNWATCHED, Telemetry

DESCRIPTION = (
    "Decides about credit, explains the decision, and opens exactly one account for an accepted"
    " offer."
)
ROUTERS = (
    auth.router,
    consents.router,
    credit.router,
    emotions.router,
    health.router,
    jobs.router,
    notifications.router,
    prequalification.router,
    transactions.router,
)


class State(TypedDict):
    """What every request can reach through ``request.state``."""

    ecs: Application


def create_app(settings: Settings, telemetry: Telemetry = UNWATCHED) -> FastAPI:
    """Return a new HTTP application. Nothing is opened until its lifespan starts."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with application(settings, name="api", telemetry=telemetry) as ecs:
            yield {"ecs": ecs}

    app = FastAPI(
        title="Empathic Credit System",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={
            "tracing": telemetry.tracer_provider is not None,
            "tracer_provider": telemetry.tracer_provider,
            "operation_spans": False,
            "metrics": False,
            "logs": False,
            "auto_configure": False,
            "exclude": _is_asked_all_the_time,
        },
    )
    middleware.install(app, development=settings.development, telemetry=telemetry)
    if telemetry.tracer_provider is not None:
        app.add_middleware(TracedRequestMiddleware)
    error_handlers.install(app, development=settings.development)
    for router in ROUTERS:
        app.include_router(router)
    docs_pages.install(app)
    if telemetry.exposition is not None:
        metrics.expect_requests(app, telemetry.measures)
    return app


def _is_asked_all_the_time(scope: Scope) -> bool:
    """Return whether Prometheus asks, or somebody who wants to know whether we live."""
    return metrics.is_for_metrics(scope) or scope.get("path") in metrics.HEALTH_PATHS
