import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from ecs.bootstrap import Application
from ecs.domain.events import OfferAccepted
from ecs.repositories.outbox_listener import OutboxListener
from tests.builders import Database
from tests.integration.test_outbox import DESTINATION, an_event


class TestListener:
    @asynccontextmanager
    async def listening(self, database: Database) -> AsyncIterator[OutboxListener]:
        listener = OutboxListener(database.app_url, reconnect_seconds=0.05)
        async with listener.listening():
            yield listener

    async def backend(self, plain: Any, *, other_than: int | None = None) -> int:
        """The process that listens, once there is one."""
        async with asyncio.timeout(10):
            while True:
                found: int | None = await plain.fetchval(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                    " AND query LIKE 'LISTEN%' AND state = 'idle' AND pid IS DISTINCT FROM $1",
                    other_than,
                )
                if found is not None:
                    return found
                await asyncio.sleep(0.02)

    async def test_wakes_at_the_commit_and_not_before(
        self, ecs: Application, database: Database, plain: Any
    ) -> None:
        async with self.listening(database) as listener:
            await self.backend(plain)
            waiting = asyncio.create_task(listener.wait(DESTINATION, seconds_max=30))
            async with ecs.outbox.unit_of_work() as uow:
                await uow.outbox.add(
                    OfferAccepted(offer_id=uuid4()), event_id=uuid4(), request_id=None
                )
                done, _ = await asyncio.wait([waiting], timeout=0.2)
                assert not done
                await uow.commit()
            await asyncio.wait_for(waiting, 5)

    async def test_does_not_wake_for_other_destinations(
        self, ecs: Application, database: Database, plain: Any
    ) -> None:
        async with self.listening(database) as listener:
            await self.backend(plain)
            other = asyncio.create_task(listener.wait("rq:other", seconds_max=30))
            ours = asyncio.create_task(listener.wait(DESTINATION, seconds_max=30))
            await an_event(ecs)
            await asyncio.wait_for(ours, 5)
            assert not other.done()
            other.cancel()

    async def test_remembers_what_came_while_nobody_waited(
        self, ecs: Application, database: Database, plain: Any
    ) -> None:
        async with self.listening(database) as listener:
            await self.backend(plain)
            seen = asyncio.create_task(listener.wait("rq:fence", seconds_max=30))
            await an_event(ecs)
            await plain.execute("SELECT pg_notify('outbox', 'rq:fence')")
            await asyncio.wait_for(seen, 5)
            await asyncio.wait_for(listener.wait(DESTINATION, seconds_max=30), 5)

    async def test_returns_in_time_when_nothing_comes(self, database: Database) -> None:
        listener = OutboxListener(database.app_url)
        await asyncio.wait_for(listener.wait(DESTINATION, seconds_max=0.01), 5)

    async def test_listens_again_after_its_connection_was_cut(
        self, ecs: Application, database: Database, plain: Any
    ) -> None:
        async with self.listening(database) as listener:
            first = await self.backend(plain)
            await plain.execute("SELECT pg_terminate_backend($1)", first)
            await self.backend(plain, other_than=first)
            waiting = asyncio.create_task(listener.wait(DESTINATION, seconds_max=30))
            await an_event(ecs)
            await asyncio.wait_for(waiting, 5)
