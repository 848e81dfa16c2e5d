"""Health and readiness over HTTP."""

from fastapi import APIRouter, Response

from ecs.api.access import Public
from ecs.api.deps import Readiness
from ecs.api.routing import EcsRoute
from ecs.api.schemas.health import DependenciesOut, HealthOut, ReadinessOut
from ecs.services import readiness_service

router = APIRouter(tags=["health"], route_class=EcsRoute, dependencies=[Public()])


@router.get("/health")
@router.get("/healthz")
async def health() -> HealthOut:
    """Say that the process is alive."""
    return HealthOut()


@router.get("/ready", responses={503: {"model": ReadinessOut, "description": "Not ready"}})
async def ready(response: Response, readiness: Readiness) -> ReadinessOut:
    """Say how well this process can serve; 503 when it cannot."""
    status, up = await readiness.check()
    if status is readiness_service.Readiness.UNAVAILABLE:
        response.status_code = 503
    return ReadinessOut(
        status=status,
        dependencies=DependenciesOut(
            **{name: "up" if is_up else "down" for name, is_up in up.items()}
        ),
    )
