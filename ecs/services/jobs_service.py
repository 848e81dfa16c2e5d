"""Use cases of background jobs: follow one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from ecs.domain.events import OfferAccepted
from ecs.domain.jobs import Job
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import JobNotFound

# What people asked for themselves; the rest is our own business.
FOLLOWED: Final = frozenset({OfferAccepted.kind})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsService:
    """Background jobs, as their owners see them; PostgreSQL answers, never Redis."""

    unit_of_work: Callable[[], UnitOfWork]

    async def get(self, *, user_id: UUID, job_id: UUID) -> Job:
        """Return the job, or raise ``JobNotFound`` when it is not one this person asked for."""
        async with self.unit_of_work() as uow:
            job = await uow.jobs.find(job_id, user_id=user_id)
        if job is None or job.kind not in FOLLOWED:
            raise JobNotFound
        return job
