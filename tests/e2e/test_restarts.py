"""Programs that are told to stop while work goes on: they finish it, and nobody notices."""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import httpx
import pytest

from scripts.stack.restarting import restart
from tests.e2e.emotions_support import an_event, devices_of, ids
from tests.e2e.support import (
    API_PROGRAMS,
    WORKER_PROGRAMS,
    Outside,
    Person,
    at_most,
    transactions,
    until,
)

log = logging.getLogger(__name__)

CLIENTS: Final = 16
ROUNDS: Final = 2
REQUESTS_MIN: Final = 500
APPLICANTS: Final = 4
EVENTS: Final = 300
SERVED_SECONDS_MAX: Final = 60
STOP_SECONDS_MAX: Final = 30
JOB_STOP_SECONDS_MAX: Final = 45


class TestRollingRestart:
    async def test_of_both_apis_twice_under_load_fails_no_request(self, ecs: Outside) -> None:
        people = await at_most(8, [ecs.an_applicant() for _ in range(CLIENTS)])
        outcomes, enough = Counter[str](), asyncio.Event()
        load = [asyncio.create_task(_call(ecs, one, outcomes, enough)) for one in people]
        before = {program: ecs.stack.pid(program) for program in API_PROGRAMS}
        for _ in range(ROUNDS):
            await asyncio.to_thread(restart, ecs.stack.layout, "api", say=log.info)
        enough.set()
        await asyncio.gather(*load)
        log.info("rolling restarts: %s requests, %s", outcomes.total(), dict(outcomes))
        assert outcomes.total() > REQUESTS_MIN
        assert {outcome.split()[-1] for outcome in outcomes} == {"200", "201"}
        assert all(ecs.stack.pid(program) != before[program] for program in API_PROGRAMS)


class TestSigtermUnderLoad:
    async def test_loses_nothing_whoever_stops(self, ecs: Outside) -> None:
        opened: list[str] = []
        async with _applicants(ecs, opened):
            for program in (*API_PROGRAMS, *WORKER_PROGRAMS, "outbox-relay", "rq-mail"):
                goal = len(opened) + APPLICANTS
                await until(partial(_reached, opened, goal), what="more accounts")
                await _stopped_in_time(ecs, program)
        log.info("%s accounts while six programs stopped", len(opened))

    async def test_leaves_no_event_behind(self, ecs: Outside) -> None:
        with devices_of(ecs) as devices:
            person = await ecs.someone()
            await devices.consenting(person)
            events = [an_event(person) for _ in range(EVENTS)]
            await asyncio.to_thread(devices.publish, *events)
            await _stopped_in_time(ecs, "emotions-consumer")
            assert await devices.settled() == []
            stored = await devices.stored()
        assert ids(events).items() <= stored.items()

    @pytest.mark.parametrize("program", ["cron", "rq-periodic", "nginx"])
    async def test_ends_in_order(self, ecs: Outside, program: str) -> None:
        await _stopped_in_time(ecs, program)


async def _call(
    ecs: Outside, person: Person, outcomes: Counter[str], enough: asyncio.Event
) -> None:
    """Read and write over one connection that is kept, until it is enough."""
    async with httpx.AsyncClient(base_url=ecs.stack.url, timeout=30, trust_env=False) as client:
        while not enough.is_set():
            rows = {"transactions": transactions(person.id, [(1, -100, "groceries")])}
            for method, path, headers, body in (
                ("GET", "/api/v1/users/me", person.headers, None),
                ("POST", "/api/v1/credit/apply", person.headers, {}),
                ("GET", "/api/v1/credit/offers", person.headers, None),
                ("POST", "/api/v1/transactions/ingest", ecs.client_headers, rows),
            ):
                request = client.build_request(method, path, headers=headers, json=body)
                outcomes[f"{method} {await _outcome(client, request)}"] += 1


async def _outcome(client: httpx.AsyncClient, request: httpx.Request) -> str:
    try:
        return str((await client.send(request)).status_code)
    except httpx.TransportError as error:
        return type(error).__name__


@asynccontextmanager
async def _applicants(ecs: Outside, opened: list[str]) -> AsyncIterator[None]:
    """Have people apply and accept all the time; each of them must be answered and served."""
    enough = asyncio.Event()

    async def want_credit() -> None:
        while not enough.is_set():
            person, offer_id = await ecs.an_offer()
            job_id = await ecs.accepted_job(person, offer_id)
            await ecs.assert_opened(person, offer_id, job_id, seconds=SERVED_SECONDS_MAX)
            opened.append(job_id)

    wanting = [asyncio.create_task(want_credit()) for _ in range(APPLICANTS)]
    try:
        yield
    finally:
        enough.set()
        await asyncio.gather(*wanting)


async def _reached(opened: list[str], goal: int) -> bool:
    return len(opened) >= goal


async def _stopped_in_time(ecs: Outside, program: str) -> None:
    """Restart a program; it must end by itself, in order and in time."""
    before, started = _endings(ecs, program), time.monotonic()
    await asyncio.to_thread(ecs.stack.stop_program, program)
    seconds = time.monotonic() - started
    await asyncio.to_thread(ecs.stack.start_program, program)
    (ending,) = _endings(ecs, program)[len(before) :]
    log.info("%s stopped in %.1f s: %s", program, seconds, ending)
    assert ending == "exit status 0"
    assert seconds < (JOB_STOP_SECONDS_MAX if program.startswith("rq-") else STOP_SECONDS_MAX)


def _endings(ecs: Outside, program: str) -> list[str]:
    """Return how a program that was told to stop has ended each time, as supervisor tells it."""
    told = (ecs.stack.place.logs / "supervisord.log").read_text()
    return re.findall(rf"stopped: {program} \((.*)\)", told)
