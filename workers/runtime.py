"""How a worker process borrows the application."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

from ecs.bootstrap import Application, job_application
from ecs.config import settings_or_exit

log = structlog.get_logger(__name__)


@contextmanager
def redis_required() -> Iterator[None]:
    """End the process with one line, not a stack, when Redis is lost; it is started again."""
    try:
        yield
    except RedisError as error:
        log.error("redis.lost", reason=type(error).__name__)  # noqa: TRY400  (no stack)
        sys.exit(1)


def stop_event() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets, for the loop that runs now."""
    stopping = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopping.set)
    return stopping


def run_job(
    use_case: Callable[[Application], Awaitable[object]], *, request_id: str | None = None
) -> None:
    """Build the application in this job's own loop, run one use case, take it apart again."""

    async def main() -> None:
        async with job_application(settings_or_exit()) as ecs:
            await use_case(ecs)

    with structlog.contextvars.bound_contextvars(request_id=request_id):
        asyncio.run(main())
