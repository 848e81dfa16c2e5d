"""Hears of new outbox rows the moment their transactions commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog

from ecs.repositories.outbox_repository import CHANNEL

log = structlog.get_logger()


class OutboxListener:
    """
    One event a destination, set when ``NOTIFY`` says that something waits there.

    A broken connection is opened again; until then the relay's own polling serves.
    """

    def __init__(self, url: str, *, reconnect_seconds: float = 1.0) -> None:
        # The driver reads ``sslmode`` by itself.
        self._url = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._reconnect_seconds = reconnect_seconds
        self._wakeups: dict[str, asyncio.Event] = {}
        self._is_lost = False

    async def wait(self, destination: str, *, seconds_max: float) -> None:
        """Return when something was written for ``destination``, or after ``seconds_max``."""
        wakeup = self._wakeups.setdefault(destination, asyncio.Event())
        try:
            await asyncio.wait_for(wakeup.wait(), seconds_max)
        except TimeoutError:
            return
        finally:
            wakeup.clear()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen while the block runs."""
        task = asyncio.create_task(self._listen_for_ever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                # Once an outage: it would be said each second, and the relay works without.
                if not self._is_lost:
                    log.warning("outbox.listener-lost", reason=type(error).__name__)
                self._is_lost = True
                await asyncio.sleep(self._reconnect_seconds)

    async def _listen_once(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=3, command_timeout=5)
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        try:
            await connection.add_listener(CHANNEL, self._on_notify)
            self._is_lost = False
            await closed.wait()
        finally:
            await connection.close(timeout=1)

    def _on_notify(self, *notification: object) -> None:
        destination = str(notification[-1])
        self._wakeups.setdefault(destination, asyncio.Event()).set()
