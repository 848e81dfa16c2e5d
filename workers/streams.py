"""How a worker process consumes a stream."""

import asyncio
import faulthandler
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import structlog

from ecs.bootstrap import Application
from ecs.services.exceptions import HandlerStuck, TopologyMismatch
from ecs.services.readiness_service import Readiness

log = structlog.get_logger(__name__)

STANDSTILL_SECONDS_MAX: Final = 60.0
SIGN_OF_LIFE_SECONDS: Final = 5.0


class Consumer(Protocol):
    """Something that consumes until it is told to stop."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume; finish what was taken once ``stopping`` is set."""


async def can_work(ecs: Application) -> bool:
    """Return whether the database answers and has the schema that this code needs."""
    verdict, _ = await ecs.readiness.check()
    return verdict is not Readiness.UNAVAILABLE


async def consume(consumer: Consumer, stopping: asyncio.Event) -> None:
    """Run a consumer. When it cannot go on, end the process with one line; it is started again."""
    async with _standstill_ends_process():
        try:
            await consumer.run(stopping)
        except (HandlerStuck, TopologyMismatch) as error:
            log.error("stream.consumer-ended", reason=str(error))  # noqa: TRY400  (no stack)
            sys.exit(1)


@asynccontextmanager
async def _standstill_ends_process() -> AsyncIterator[None]:
    """
    End the process, with every thread's stack, when its event loop stands still for a minute.

    Nothing inside of the loop could notice. It also ends a process that cannot get itself to end.
    """
    _give_a_sign_of_life()  # The first at once: a task would wait for a loop that may not turn.
    sign_of_life = asyncio.create_task(_give_signs_of_life())
    try:
        yield
        faulthandler.cancel_dump_traceback_later()
    finally:
        sign_of_life.cancel()


async def _give_signs_of_life() -> None:
    while True:
        await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
        _give_a_sign_of_life()


def _give_a_sign_of_life() -> None:
    faulthandler.dump_traceback_later(STANDSTILL_SECONDS_MAX, exit=True)
