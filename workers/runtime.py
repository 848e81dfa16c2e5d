"""How a worker process borrows the application."""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from redis.exceptions import RedisError

from ecs.bootstrap import Application, job_application
from ecs.config import Settings, settings_or_exit
from ecs.domain.measures import JOB_SECONDS
from ecs.telemetry import UNWATCHED, Telemetry, start_telemetry

log = structlog.get_logger(__name__)

# What a job's process inherits from the worker that forks it.
_of_jobs: ContextVar[Telemetry] = ContextVar("telemetry of jobs", default=UNWATCHED)


def start(service: str, *, forks: bool = False) -> tuple[Settings, Telemetry]:
    """Return what every process begins with; end it when its settings are unusable."""
    settings = settings_or_exit()
    port = settings.metrics.port
    return settings, start_telemetry(settings, service=service, port=port, forks=forks)


def watch_jobs(telemetry: Telemetry) -> None:
    """Have the jobs that this process forks watched."""
    _of_jobs.set(telemetry)


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
    kind: str,
    use_case: Callable[[Application], Awaitable[object]],
    *,
    request_id: str | None = None,
    trace_parent: str | None = None,
) -> None:
    """Build the application in this job's own loop, run one use case, take it apart again."""
    telemetry = _of_jobs.get()

    async def main() -> None:
        async with job_application(settings_or_exit(), telemetry) as ecs:
            await use_case(ecs)

    started, outcome = time.monotonic(), "failed"
    try:
        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            telemetry.traces.span(f"job {kind}", parents=[trace_parent]),
        ):
            asyncio.run(main())
        outcome = "done"
    finally:
        seconds = time.monotonic() - started
        telemetry.measures.observe(JOB_SECONDS, seconds, kind=kind, outcome=outcome)
        telemetry.traces.flush()
