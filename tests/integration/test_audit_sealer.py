"""The process that seals, run as the stack runs it."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from ecs.bootstrap import Application
from scripts.stack.place import CHECKOUT
from tests.builders import connected, environment_for
from tests.conftest import Database
from tests.integration.audit_support import (
    INSERT,
    note,
    sealed_ids,
    stored_ids,
    verified,
)
from tests.shared_services import Services
from workers.audit_sealer import Rounds

SECONDS_MAX = 30


class Sealer:
    """A running process and what it has logged."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.logged: list[dict[str, Any]] = []

    async def says(self, event: str) -> dict[str, Any]:
        """Wait for a line of the log."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS_MAX):
            while line := await self._process.stdout.readline():
                self.logged.append(json.loads(line))
                if self.logged[-1]["event"] == event:
                    return self.logged[-1]
        raise AssertionError(self.logged)

    async def ends(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self._process.send_signal(number)
        async with asyncio.timeout(SECONDS_MAX):
            return await self._process.wait()


@asynccontextmanager
async def sealing(database: Database, redis_url: str) -> AsyncIterator[Sealer]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.audit_sealer"),
        cwd=CHECKOUT,
        env=environment_for(database, redis_url),
        stdout=PIPE,
        stderr=STDOUT,
    )
    sealer = Sealer(process)
    try:
        await sealer.says("audit.sealer-started")
        yield sealer
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def all_are_sealed(owner: Any) -> None:
    """Return when nothing waits any more; the rounds decide when that is."""
    async with asyncio.timeout(SECONDS_MAX):
        while await sealed_ids(owner) != await stored_ids(owner):  # noqa: ASYNC110  (another process)
            await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
class TestSealer:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_seals_and_ends_when_told_to(
        self, ecs: Application, database: Database, redis_url: str, number: signal.Signals
    ) -> None:
        await note(ecs, 2)
        async with sealing(database, redis_url) as sealer:
            said = await sealer.says("audit.sealed")
            assert (said["seal_id"], said["rows"], said["service"]) == (1, 2, "audit-sealer")
            assert await sealer.ends(number) == 0
        assert (await verified(ecs)).is_sound

    async def test_keeps_up_with_300_rows_a_second(
        self, ecs: Application, database: Database, owner: Any, redis_url: str
    ) -> None:
        async with sealing(database, redis_url), connected(database.app_url) as writer:
            for _ in range(3):
                began = asyncio.get_running_loop().time()
                for _ in range(300):
                    await writer.execute(INSERT)
                await asyncio.sleep(max(0.0, began + 1 - asyncio.get_running_loop().time()))
            await all_are_sealed(owner)
        found = await verified(ecs)
        assert (found.rows, found.is_sound) == (900, True)

    async def test_may_run_twice_and_be_killed(
        self, ecs: Application, database: Database, owner: Any, redis_url: str
    ) -> None:
        async with sealing(database, redis_url) as one, sealing(database, redis_url):
            await note(ecs, 50)
            await all_are_sealed(owner)
            await note(ecs, 50)
            assert await one.ends(signal.SIGKILL) == -signal.SIGKILL
            await note(ecs, 50)
            await all_are_sealed(owner)
        found = await verified(ecs)
        assert (found.rows, found.is_sound) == (150, True)

    async def test_waits_for_a_database_that_is_away_and_says_so_once(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        redis_url: str,
        services: Services,
    ) -> None:
        async with sealing(database, redis_url) as sealer:
            await away(services, database)
            said = await sealer.says("audit.sealing-failed")
            assert said["level"] == "warning"
            assert "exception" not in said
            await back(services, database)
            await note(ecs, 1)
            await sealer.says("audit.sealed")
        failures = [line for line in sealer.logged if line["event"] == "audit.sealing-failed"]
        assert len(failures) == 1
        assert (await verified(ecs)).is_sound


class TestRound:
    async def test_tells_of_an_outage_once_and_of_its_end(
        self, ecs: Application, database: Database, services: Services
    ) -> None:
        await note(ecs, 1)
        rounds = Rounds(ecs)
        await away(services, database)
        with capture_logs() as logged:
            for _ in range(3):
                await rounds.one()
            await back(services, database)
            for _ in range(2):
                await rounds.one()
        events = [line["event"] for line in logged]
        assert events == ["audit.sealing-failed", "audit.sealed", "audit.sealing-again"]
        assert logged[0]["log_level"] == "warning"

    async def test_shows_the_stack_of_what_nobody_expected(self, ecs: Application) -> None:
        def broken(_: bytes) -> bytes:
            raise ZeroDivisionError

        await note(ecs, 1)
        rounds = Rounds(replace(ecs, audit=replace(ecs.audit, digest=broken)))
        with capture_logs() as logged:
            await rounds.one()
            await rounds.one()
        (line,) = logged
        assert line["log_level"] == "error"
        assert isinstance(line["exc_info"], ZeroDivisionError)


async def away(services: Services, database: Database) -> None:
    """Let nobody into the database, and put the sealer out."""
    superuser = await asyncpg.connect(services.superuser_url)
    try:
        await superuser.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
        await superuser.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = $1 AND application_name LIKE 'ecs-%'",
            database.name,
        )
    finally:
        await superuser.close()


async def back(services: Services, database: Database) -> None:
    superuser = await asyncpg.connect(services.superuser_url)
    try:
        await superuser.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true")
    finally:
        await superuser.close()
