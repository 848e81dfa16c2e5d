"""Measures what waits: ``python -m workers.backlog``. Any number of these may run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from ecs.bootstrap import Application, application
from ecs.services.exceptions import DestinationUnavailable, RepositoryError
from workers.runtime import start, stop_event

log = structlog.get_logger(__name__)

SERVICE: Final = "backlog"
CONNECTIONS: Final = 1
ROUND_SECONDS: Final = 5.0
EXPECTED: Final = (DestinationUnavailable, RepositoryError)


class Watch:
    """Looks at one place again and again. Remembers whether the last look failed."""

    def __init__(self, place: str, look: Callable[[], Awaitable[None]]) -> None:
        self._place = place
        self._look = look
        self._failure = ""

    async def keep(self) -> None:
        """Look for ever."""
        while True:
            await self.one()
            await asyncio.sleep(ROUND_SECONDS)

    async def one(self) -> None:
        """Look; a failure is told once, until it is over."""
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001  (the next look may go better)
            self._tell(error)
        else:
            if self._failure:
                log.info("backlog.seen-again", place=self._place)
            self._failure = ""

    def _tell(self, error: Exception) -> None:
        expected = isinstance(error, EXPECTED)
        failure = "away" if expected else repr(error)
        if failure == self._failure:
            return
        self._failure = failure
        if expected:
            log.warning("backlog.not-seen", place=self._place, reason=repr(error))
        else:
            log.error("backlog.not-seen", place=self._place, exc_info=error)


async def run(ecs: Application) -> None:
    """Look until SIGTERM or SIGINT; a look in hand is given up."""
    stopping = stop_event()
    places = {"postgresql": ecs.backlog.look_at_database, "rabbitmq": ecs.backlog.look_at_queues}
    # One waits for the other nowhere: a database that does not answer hides no queue.
    watches = [asyncio.create_task(Watch(place, look).keep()) for place, look in places.items()]
    log.info("backlog.started")
    await stopping.wait()
    for watch in watches:
        watch.cancel()
    await asyncio.gather(*watches, return_exceptions=True)
    log.info("backlog.stopped")


async def main() -> None:
    """Build the application and look."""
    settings, telemetry = start(SERVICE)
    async with application(
        settings, name=SERVICE, connections=CONNECTIONS, telemetry=telemetry
    ) as ecs:
        await run(ecs)


if __name__ == "__main__":
    asyncio.run(main())
