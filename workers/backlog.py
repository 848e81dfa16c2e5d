"""Measures what waits: ``python -m workers.backlog``. Any number of these may run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from ecs.bootstrap import Application
from ecs.services.exceptions import DestinationUnavailable, RepositoryError
from workers.repeated import Repeated
from workers.runtime import stop_event, work

log = structlog.get_logger(__name__)

SERVICE: Final = "backlog"
CONNECTIONS: Final = 1
ROUND_SECONDS: Final = 5.0
EXPECTED: Final = (DestinationUnavailable, RepositoryError)


def looking_at(place: str, look: Callable[[], Awaitable[None]]) -> Repeated:
    """Return looks at one place, any number of them."""
    return Repeated(
        look, failed="backlog.not-seen", again="backlog.seen-again", expected=EXPECTED, place=place
    )


async def look_for_ever(looking: Repeated) -> None:
    """Look again and again."""
    while True:
        await looking.once()
        await asyncio.sleep(ROUND_SECONDS)


async def run(ecs: Application) -> None:
    """Look until SIGTERM or SIGINT; a look in hand is given up."""
    stopping = stop_event()
    places = {"postgresql": ecs.backlog.look_at_database, "rabbitmq": ecs.backlog.look_at_queues}
    # One waits for the other nowhere: a database that does not answer hides no queue.
    watches = [asyncio.create_task(look_for_ever(looking_at(*place))) for place in places.items()]
    log.info("backlog.started")
    await stopping.wait()
    for task in watches:
        task.cancel()
    await asyncio.gather(*watches, return_exceptions=True)
    log.info("backlog.stopped")


if __name__ == "__main__":
    asyncio.run(work(SERVICE, run, connections=CONNECTIONS))
