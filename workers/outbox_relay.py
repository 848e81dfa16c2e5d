"""Carries the outbox away: ``python -m workers.outbox_relay``. Any number of these may run."""

import asyncio
from typing import Final

import structlog

from ecs.bootstrap import Application
from ecs.domain.events import DESTINATIONS
from ecs.domain.measures import OUTBOX_FAILURES, SWEEPS
from ecs.services.exceptions import DestinationUnavailable, RepositoryError, TopologyMismatch
from ecs.services.outbox_service import BATCH_MAX
from workers.runtime import stop_event, work

log = structlog.get_logger(__name__)

# One for each destination, and one for the sweeper.
CONNECTIONS: Final = len(DESTINATIONS) + 1
SERVICE: Final = "outbox-relay"
POLL_SECONDS: Final = 1.0
# A batch costs hardly more than one row: a moment in which others may join it halves the work.
GATHER_SECONDS: Final = 0.02
SWEEP_SECONDS: Final = 2.0
BACKOFF_SECONDS_MAX: Final = 4.0


async def relay_for_ever(ecs: Application, destination: str) -> None:
    """Carry what waits for one destination; a destination that is down stops nobody else."""
    pause = POLL_SECONDS
    while True:
        try:
            carried = await ecs.outbox.relay(destination)
        except Exception as error:  # noqa: BLE001  (one bad event must not stop the others)
            ecs.outbox.measures.count(OUTBOX_FAILURES, destination=destination)
            log_failure("outbox.relay-failed", error, destination=destination)
            await asyncio.sleep(pause)
            pause = min(pause * 2, BACKOFF_SECONDS_MAX)
            continue
        pause = POLL_SECONDS
        if not carried:
            await ecs.outbox.listener.wait(destination, seconds_max=POLL_SECONDS)
        if carried < BATCH_MAX:
            await asyncio.sleep(GATHER_SECONDS)


async def sweep_for_ever(ecs: Application) -> None:
    """Look for jobs that Redis forgot or whose workers died."""
    while True:
        try:
            await ecs.outbox.redispatch_lost()
            await ecs.outbox.give_up_parked()
        except Exception as error:  # noqa: BLE001  (the next sweep may go better)
            ecs.outbox.measures.count(SWEEPS, outcome="failed")
            log_failure("outbox.sweep-failed", error)
        else:
            ecs.outbox.measures.count(SWEEPS, outcome="done")
        await asyncio.sleep(SWEEP_SECONDS)


def log_failure(event: str, error: Exception, **context: str) -> None:
    """Log what was to be expected in a line, and anything else with its stack."""
    if isinstance(error, DestinationUnavailable | TopologyMismatch | RepositoryError):
        log.warning(event, reason=repr(error), **context)
    else:
        log.error(event, exc_info=error, **context)


async def run(ecs: Application) -> None:
    """Relay and sweep until SIGTERM or SIGINT; what is in hand is finished or rolled back."""
    stopping = stop_event()
    async with ecs.outbox.listener.listening(), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(relay_for_ever(ecs, name)) for name in sorted(DESTINATIONS)]
        running.append(tasks.create_task(sweep_for_ever(ecs)))
        log.info("outbox.relay-started", destinations=sorted(DESTINATIONS))
        await stopping.wait()
        for task in running:
            task.cancel()
    log.info("outbox.relay-stopped")


if __name__ == "__main__":
    asyncio.run(work(SERVICE, run, connections=CONNECTIONS))
