"""What jobs count as is seen at their worker's port, though each is a process of its own."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from ecs.bootstrap import Application
from ecs.domain.events import OfferAccepted
from ecs.domain.measures import (
    ACCEPT_TO_ACCOUNT_SECONDS,
    ACCOUNTS,
    JOB_FAILURES,
    JOB_KILLED,
    JOB_SECONDS,
    LOG_LINES,
)
from scripts.stack.place import CHECKOUT
from tests.builders import Database, an_acceptance, environment_for
from tests.integration.measured import Meter, of
from tests.integration.test_account_openings import BROKEN

QUEUE: Final = "accounts"
PATIENCE_SECONDS: Final = 30
SLOW: Final = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE INSERT ON credit_accounts FOR EACH ROW EXECUTE FUNCTION wait();
"""
SLEEPING: Final = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event = 'PgSleep'"
)
Start = Callable[[], Awaitable[Process]]


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    return number


@pytest.fixture
def meter(port: int) -> Meter:
    """What the worker's port says."""
    return Meter(lambda: httpx.get(f"http://127.0.0.1:{port}/metrics").content)


@pytest.fixture
async def start(database: Database, redis_url: str, port: int) -> AsyncIterator[Start]:
    """Start a worker; it has begun to work when this returns."""
    started: list[Process] = []
    metrics = {"METRICS_PORT": str(port), "METRICS_HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
    environment = os.environ | environment_for(database, redis_url) | metrics

    async def begin() -> Process:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers.rq_worker", QUEUE),
            cwd=CHECKOUT,
            env=environment,
            stdout=PIPE,
        )
        started.append(worker)
        assert worker.stdout is not None
        while b"rq.worker-started" not in (line := await worker.stdout.readline()):
            assert line, "the worker did not start"
        return worker

    yield begin
    for worker in started:
        if worker.returncode is None:
            worker.terminate()
        await worker.communicate()


async def a_job(ecs: Application, database: Database) -> UUID:
    """An account to open, handed over to the worker's queue."""
    _, job_id = await an_acceptance(ecs, database)
    await ecs.outbox.relay(OfferAccepted.destination)
    return job_id


async def shown(meter: Meter, *awaited: str) -> dict[str, float]:
    """Return all that was counted, once ``awaited`` is; a port tells nothing unless it is asked."""
    counted: dict[str, float] = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not counted.keys() >= set(awaited):
            moved = await asyncio.to_thread(meter.counted)
            counted = {key: counted.get(key, 0) + moved.get(key, 0) for key in counted | moved}
            await asyncio.sleep(0.02)
    return counted


async def in_a_slow_job(ecs: Application, database: Database, owner: Any, plain: Any) -> None:
    """Hand over a job, and return when it is in the middle of its work."""
    await owner.execute(SLOW)
    await a_job(ecs, database)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await plain.fetchval(SLEEPING):  # noqa: ASYNC110  (the server's processes)
            await asyncio.sleep(0.02)


def horse_of(worker: Process) -> int:
    """Return the process of the job that a worker is at."""
    [children] = [
        task.read_text().split()
        for task in Path(f"/proc/{worker.pid}/task").glob(f"{worker.pid}/children")
    ]
    return int(children[0])


class TestAWorkersPort:
    async def test_shows_what_its_jobs_did(
        self, ecs: Application, database: Database, start: Start, meter: Meter
    ) -> None:
        await start()
        meter.counted()
        await a_job(ecs, database)
        done = of(JOB_SECONDS, kind="open_account", outcome="done")
        assert await shown(meter, done) == {
            done: 1,
            of(ACCOUNTS, outcome="account_opened"): 1,
            of(ACCEPT_TO_ACCOUNT_SECONDS): 1,
        }

    async def test_shows_what_its_jobs_failed_at_and_that_they_said_so(
        self, ecs: Application, database: Database, owner: Any, start: Start, meter: Meter
    ) -> None:
        await owner.execute(BROKEN)
        await start()
        meter.counted()
        await a_job(ecs, database)
        failed = of(JOB_SECONDS, kind="open_account", outcome="failed")
        counted = await shown(meter, failed, of(LOG_LINES, level="error"))
        assert counted[of(JOB_FAILURES, kind="open_account", then="retried")] == 1
        assert counted[failed] == 1
        assert counted[of(LOG_LINES, level="warning")] >= 1

    async def test_shows_that_a_job_was_killed(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        plain: Any,
        start: Start,
        meter: Meter,
    ) -> None:
        worker = await start()
        meter.counted()
        await in_a_slow_job(ecs, database, owner, plain)
        os.kill(horse_of(worker), signal.SIGKILL)
        killed = of(JOB_KILLED, queue=QUEUE)
        counted = await shown(meter, killed)
        assert counted[killed] == 1
        assert of(JOB_SECONDS, kind="open_account", outcome="done") not in counted

    async def test_is_taken_over_from_a_killed_worker_whose_job_goes_on(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        plain: Any,
        start: Start,
        meter: Meter,
    ) -> None:
        worker = await start()
        await in_a_slow_job(ecs, database, owner, plain)
        job = horse_of(worker)
        worker.kill()
        await start()
        os.kill(job, 0)  # It is still at work.
        await asyncio.to_thread(meter.counted)  # Raises unless somebody answers.
        os.kill(job, signal.SIGKILL)
