"""Background jobs over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from ecs.api.access import UserWith
from ecs.api.deps import Jobs
from ecs.api.routing import EcsRoute
from ecs.api.schemas.jobs import JobOut
from ecs.wire.forms import StrictUuid

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=EcsRoute)


@router.get("/{job_id}")
async def get_job(
    job_id: StrictUuid, user_id: Annotated[UUID, UserWith("offers:read")], jobs: Jobs
) -> JobOut:
    """Show how one of the caller's jobs goes."""
    return JobOut.of(await jobs.get(user_id=user_id, job_id=job_id))
