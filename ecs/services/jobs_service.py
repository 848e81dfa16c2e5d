"""Use cases of background jobs: follow one."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from ecs.domain.jobs import Job
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import JobNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsService:
    """Background jobs, as their owners see them; PostgreSQL answers, never Redis."""

    unit_of_work: Callable[[], UnitOfWork]

    async def get(self, *, user_id: UUID, job_id: UUID) -> Job:
        """Return the job, or raise ``JobNotFound`` when it is not this person's."""
        async with self.unit_of_work() as uow:
            job = await uow.jobs.find(job_id, user_id=user_id)
        if job is None:
            raise JobNotFound
        return job
