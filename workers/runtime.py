"""How a worker process borrows the application."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ecs.bootstrap import Application, job_application
from ecs.config import settings_or_exit


def run_job(
    use_case: Callable[[Application], Awaitable[object]], *, request_id: str | None = None
) -> None:
    """Build the application in this job's own loop, run one use case, take it apart again."""

    async def main() -> None:
        async with job_application(settings_or_exit()) as ecs:
            await use_case(ecs)

    with structlog.contextvars.bound_contextvars(request_id=request_id):
        asyncio.run(main())
