"""How a worker process borrows the application."""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import structlog
from redis import exceptions as redis_errors

from ecs.bootstrap import Application, application, job_application
from ecs.config import Settings, settings_or_exit
from ecs.domain.measures import JOB_SECONDS
from ecs.telemetry import UNWATCHED, Telemetry, start_telemetry

log = structlog.get_logger(__name__)

LOSSES: Final = (redis_errors.ConnectionError, redis_errors.TimeoutError)
# Kinds of a lost connection to redis-py, but they do not heal by themselves.
REFUSALS: Final = (redis_errors.AuthenticationError, redis_errors.AuthorizationError)

# What a job's process inherits from the worker that forks it.
_of_jobs: ContextVar[Telemetry] = ContextVar("telemetry of jobs", default=UNWATCHED)


def start(service: str, *, forks: bool = False) -> tuple[Settings, Telemetry]:
    """Return what every process begins with; end it when its settings are unusable."""
    settings = settings_or_exit()
    port = settings.metrics.port
    return settings, start_telemetry(settings, service=service, port=port, forks=forks)


async def work(
    service: str, run: Callable[[Application], Awaitable[None]], *, connections: int
) -> None:
    """Build the application of a worker, and let it ``run`` until it is told to stop."""
    settings, telemetry = start(service)
    async with application(
        settings, name=service, connections=connections, telemetry=telemetry
    ) as ecs:
        await run(ecs)


def watch_jobs(telemetry: Telemetry) -> None:
    """Have the jobs that this process forks watched."""
    _of_jobs.set(telemetry)


@contextmanager
def redis_required() -> Iterator[None]:
    """
    End the process with one line, not a stack, when Redis is lost; it is started again.

    What RQ says of a lost connection is a warning here, as is our line: no job is lost, and it
    heals by itself. Anything else, such as a wrong password, is an error.
    """
    logger = logging.getLogger("rq.worker")
    logger.addFilter(_expect_loss)
    try:
        yield
    except redis_errors.RedisError as error:
        level = logging.WARNING if _is_loss(error) else logging.ERROR
        log.log(level, "redis.lost", reason=type(error).__name__)
        sys.exit(1)
    finally:
        logger.removeFilter(_expect_loss)


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


def _expect_loss(record: logging.LogRecord) -> bool:
    """Make an error a warning that is about a lost Redis; let each line pass."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    dealt_with = (*arguments, *(record.exc_info or ()), sys.exc_info()[1])
    if record.levelno == logging.ERROR and any(_is_loss(one) for one in dealt_with):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _is_loss(error: object) -> bool:
    return isinstance(error, LOSSES) and not isinstance(error, REFUSALS)
