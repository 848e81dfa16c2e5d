"""Carries the outbox away: ``python -m workers.outbox_relay``. Any number of these may run."""

import asyncio
import signal
from typing import Final

import structlog

from ecs.bootstrap import Application, application
from ecs.config import read_settings
from ecs.domain.events import DESTINATIONS
from ecs.log import configure_logging
from ecs.services.exceptions import DestinationUnavailable, RepositoryError

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 2.0
BACKOFF_SECONDS_MAX: Final = 4.0


async def relay_for_ever(ecs: Application, destination: str) -> None:
    """Carry what waits for one destination; a destination that is down stops nobody else."""
    pause = POLL_SECONDS
    while True:
        try:
            carried = await ecs.outbox.relay(destination)
        except (DestinationUnavailable, RepositoryError) as error:
            log.warning("outbox.relay-failed", destination=destination, reason=repr(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, BACKOFF_SECONDS_MAX)
            continue
        pause = POLL_SECONDS
        if not carried:
            await ecs.outbox.listener.wait(destination, seconds_max=POLL_SECONDS)


async def sweep_for_ever(ecs: Application) -> None:
    """Look for jobs that Redis forgot or whose workers died."""
    while True:
        try:
            await ecs.outbox.redispatch_lost()
        except RepositoryError as error:
            log.warning("outbox.sweep-failed", reason=repr(error))
        await asyncio.sleep(SWEEP_SECONDS)


async def run(ecs: Application) -> None:
    """Relay and sweep until SIGTERM or SIGINT; what is in hand is finished or rolled back."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopping.set)
    async with ecs.outbox.listener.listening(), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(relay_for_ever(ecs, name)) for name in sorted(DESTINATIONS)]
        running.append(tasks.create_task(sweep_for_ever(ecs)))
        log.info("outbox.relay-started", destinations=sorted(DESTINATIONS))
        await stopping.wait()
        for task in running:
            task.cancel()
    log.info("outbox.relay-stopped")


async def main() -> None:
    """Build the application and relay."""
    settings = read_settings()
    configure_logging(level=settings.log_level, service="outbox-relay")
    async with application(settings, name="outbox-relay") as ecs:
        await run(ecs)


if __name__ == "__main__":
    asyncio.run(main())
