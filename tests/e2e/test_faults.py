"""Everything that may die does, and the promises hold: one account each, no answer forgotten."""

import asyncio
import logging
import random
import signal
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import redis.asyncio

from scripts.stack.place import CHECKOUT
from tests.e2e.support import (
    API_PROGRAMS,
    WORKER_PROGRAMS,
    Outside,
    Person,
    at_most,
    kill_all,
    slow_first,
    stopped,
    until,
)

log = logging.getLogger(__name__)

RELAY: Final = "outbox-relay"
SLOW_SECONDS: Final = 8
KILL_ROUNDS, RELAYS, ACCEPTS_A_ROUND = 10, 3, 6
ACCEPT_MS_MAX: Final = 300
RECOVERY_SECONDS_MAX: Final = 15


class TestAWorkerKilledInAJob:
    @pytest.mark.parametrize("victims", ["parent and horse", "parent", "horse"])
    async def test_does_not_keep_the_job_from_being_done_once(
        self, ecs: Outside, victims: str
    ) -> None:
        person, offer_id = await ecs.an_offer()
        async with _slow_account(ecs, person, seconds=SLOW_SECONDS) as has_begun:
            job_id = await ecs.accepted_job(person, offer_id)
            await until(has_begun, what="the account's insert")
            program, parent, horse = _at_work(ecs)
            kill_all({"parent": [parent], "horse": [horse]}.get(victims, [parent, horse]), 9)
            started = time.monotonic()
            await ecs.assert_opened(person, offer_id, job_id, seconds=30)
            log.info("%s killed: done after %.1f s", victims, time.monotonic() - started)
        if victims != "horse":
            await asyncio.to_thread(ecs.stack.wait_for_restart, program, old_pid=parent)
        await ecs.assert_one_account(person, offer_id)

    async def test_by_sigterm_finishes_the_job_first(self, ecs: Outside) -> None:
        person, offer_id = await ecs.an_offer()
        async with _slow_account(ecs, person, seconds=2) as has_begun:
            job_id = await ecs.accepted_job(person, offer_id)
            await until(has_begun, what="the account's insert")
            program, parent, _ = _at_work(ecs)
            ecs.stack.kill(program, signal.SIGTERM)
            await ecs.assert_opened(person, offer_id, job_id)
        await asyncio.to_thread(ecs.stack.wait_for_restart, program, old_pid=parent)
        attempts = await ecs.value("SELECT attempts FROM jobs WHERE id = $1", UUID(job_id))
        assert attempts == 1


class TestTheRelayKilled:
    async def test_with_accepted_offers_waiting_leaves_none_behind(self, ecs: Outside) -> None:
        offers = await ecs.offers(10)
        frozen = ecs.stack.kill(RELAY, signal.SIGSTOP)
        accepted = [(*offer, await ecs.accepted_job(*offer)) for offer in offers]
        ecs.stack.kill(RELAY)
        started = time.monotonic()
        for person, offer_id, job_id in accepted:
            await ecs.assert_opened(person, offer_id, job_id)
        log.info("relay killed: 10 accounts after %.1f s", time.monotonic() - started)
        await asyncio.to_thread(ecs.stack.wait_for_restart, RELAY, old_pid=frozen)

    async def test_between_the_hand_over_and_its_mark_opens_one_account(self, ecs: Outside) -> None:
        person, offer_id = await ecs.an_offer()
        mark = f"NEW.published_at IS NOT NULL AND NEW.payload ->> 'offer_id' = '{offer_id}'"
        async with slow_first(
            ecs, "UPDATE ON outbox_events", condition=mark, seconds=4
        ) as has_begun:
            job_id = await ecs.accepted_job(person, offer_id)
            await until(has_begun, what="the relay's mark")
            killed = ecs.stack.kill(RELAY)
            await asyncio.to_thread(ecs.stack.wait_for_restart, RELAY, old_pid=killed)
            await until(lambda: _is_published(ecs, job_id), what="the mark of the next relay")
        await ecs.assert_opened(person, offer_id, job_id)

    async def test_at_thirty_random_moments_opens_each_account_once(self, ecs: Outside) -> None:
        offers = await ecs.offers(KILL_ROUNDS * ACCEPTS_A_ROUND)
        accepted: list[tuple[Person, str, str]] = []
        async with stopped(ecs, RELAY):
            while offers:
                batch = [offers.pop() for _ in range(ACCEPTS_A_ROUND)]
                relays = await asyncio.gather(*(_own_relay(ecs) for _ in range(RELAYS)))
                *jobs, _ = await asyncio.gather(
                    *(ecs.accepted_job(*offer) for offer in batch), _kill_at_random(relays)
                )
                accepted += [
                    (*offer, str(job_id)) for offer, job_id in zip(batch, jobs, strict=True)
                ]
        assert len(accepted) == KILL_ROUNDS * ACCEPTS_A_ROUND
        await at_most(8, [ecs.assert_opened(*one, seconds=60) for one in accepted])


class TestRedis:
    async def test_down_keeps_no_accept_from_being_answered_at_once(self, ecs: Outside) -> None:
        offers, accepted, times = await ecs.offers(10), [], []
        async with stopped(ecs, "redis"):
            ready = await ecs.http.get("/ready")
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            assert ready.json()["dependencies"]["redis"] == "down"
            for offer in offers:
                started = time.monotonic()
                accepted.append((*offer, await ecs.accepted_job(*offer)))
                times.append((time.monotonic() - started) * 1000)
        back = time.monotonic()
        for person, offer_id, job_id in accepted:
            await ecs.assert_opened(person, offer_id, job_id)
        log.info(
            "Redis down: accepts of %.0f ms, at most %.0f ms; done %.1f s after its return",
            *(statistics.median(times), max(times), time.monotonic() - back),
        )
        assert max(times) < ACCEPT_MS_MAX
        assert not _of_redis(ecs, "error")
        assert _of_redis(ecs, "warning")

    async def test_forgetting_everything_delays_an_acceptance_only(self, ecs: Outside) -> None:
        person, offer_id = await ecs.an_offer()
        async with stopped(ecs, *WORKER_PROGRAMS):
            job_id = await ecs.accepted_job(person, offer_id)
            await until(lambda: _is_published(ecs, job_id), what="the hand-over to Redis")
            async with redis.asyncio.from_url(ecs.stack.env["REDIS_URL"]) as connection:
                assert await connection.llen("rq:queue:accounts") == 1
                await connection.flushall()
            started = time.monotonic()
        await ecs.assert_opened(person, offer_id, job_id)
        log.info("FLUSHALL: done after %.1f s", time.monotonic() - started)


class TestPostgresKilled:
    async def test_under_load_loses_nothing_that_was_answered(self, ecs: Outside) -> None:
        people = await at_most(8, [ecs.an_applicant() for _ in range(30)])
        tally = Tally()
        async with _durable(ecs):
            load = asyncio.gather(*(_want_credit(ecs, people[row::3], tally) for row in range(3)))
            await until(lambda: _is_true(len(tally.accepted) >= 5), what="the first acceptances")
            killed, at = ecs.stack.kill("postgres"), time.monotonic()
            await load
            await asyncio.to_thread(ecs.stack.wait_for_restart, "postgres", old_pid=killed)
            log.info(
                "PostgreSQL killed: %s, served again after %.1f s",
                *(dict(tally.statuses), tally.last_refusal_at - at),
            )
            assert set(tally.statuses) <= {200, 201, 202, 503}
            assert 0 < tally.last_refusal_at - at < RECOVERY_SECONDS_MAX
            assert len(tally.accepted) == len(people)
            for person, offer_id, job_id in tally.accepted:
                await ecs.assert_opened(person, offer_id, job_id, seconds=60)


class TestAnApiProcessKilled:
    @pytest.mark.parametrize("program", API_PROGRAMS)
    async def test_fails_no_read(self, ecs: Outside, program: str) -> None:
        person = await ecs.someone()
        outcomes, enough = Counter[int | str](), asyncio.Event()

        async def read() -> None:
            while not enough.is_set():
                outcomes[await _outcome(ecs.get(person, "/api/v1/users/me"))] += 1

        readers = [asyncio.create_task(read()) for _ in range(8)]
        await until(lambda: _is_true(outcomes[200] > 50), what="a load of reads")
        killed = ecs.stack.kill(program)
        await asyncio.to_thread(ecs.stack.wait_for_restart, program, old_pid=killed)
        enough.set()
        await asyncio.gather(*readers)
        log.info("%s killed: %s", program, dict(outcomes))
        # uvicorn writes head and body apart: one answer may be cut between them, and nobody
        # behind a head that is sent can ask another process.
        assert outcomes.pop("cut off", 0) <= 1
        assert set(outcomes) == {200}


class TestACommitThatFails:
    async def test_of_an_application_is_never_a_success(self, ecs: Outside) -> None:
        person = await ecs.an_applicant()
        async with _failing_commit(ecs, person):
            answer = await ecs.apply(person)
            assert answer.status_code >= 500
            assert await _stored_for(ecs, person) == {"offers": 0, "assessments": 0, "jobs": 0}
        assert (await ecs.apply(person)).status_code == 201

    async def test_of_an_accept_is_never_a_success(self, ecs: Outside) -> None:
        person, offer_id = await ecs.an_offer()
        async with _failing_commit(ecs, person):
            answer = await ecs.accept(person, offer_id)
            assert answer.status_code >= 500
            assert await _stored_for(ecs, person) == {"offers": 1, "assessments": 1, "jobs": 0}
        shown = await ecs.get(person, f"/api/v1/credit/offers/{offer_id}")
        assert shown.json()["status"] == "offered"
        await ecs.assert_opened(person, offer_id, await ecs.accepted_job(person, offer_id))


class Tally:
    """What the callers were answered."""

    def __init__(self) -> None:
        self.statuses = Counter[int]()
        self.accepted: list[tuple[Person, str, str]] = []
        self.last_refusal_at = 0.0

    def count(self, answer: httpx.Response) -> bool:
        """Count an answer; return whether it was a yes."""
        self.statuses[answer.status_code] += 1
        if not answer.is_success:
            self.last_refusal_at = time.monotonic()
        return answer.is_success


async def _want_credit(ecs: Outside, people: list[Person], tally: Tally) -> None:
    """Each applies and accepts, as patiently as a 503 asks for."""
    for person in people:
        applied = await _granted(tally, partial(ecs.apply, person))
        offer_id = applied.json()["id"]
        taken = await _granted(tally, partial(ecs.accept, person, offer_id))
        tally.accepted.append((person, offer_id, taken.json()["job_id"]))


async def _granted(tally: Tally, ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    answers: list[httpx.Response] = []

    async def says_yes() -> bool:
        answers.append(await ask())
        return tally.count(answers[-1])

    await until(says_yes, what="a yes")
    return answers[-1]


async def _outcome(asked: Awaitable[httpx.Response]) -> int | str:
    try:
        return (await asked).status_code
    except httpx.RemoteProtocolError:
        return "cut off"


@asynccontextmanager
async def _durable(ecs: Outside) -> AsyncIterator[None]:
    """Have COMMIT wait for the disk, which throw-away stacks leave out for speed."""

    async def configure(statement: str) -> None:
        superuser = await asyncpg.connect(ecs.stack.superuser_url)
        try:
            await superuser.execute(statement)
            await superuser.execute("SELECT pg_reload_conf()")
        finally:
            await superuser.close()

    async def is_on() -> bool:
        return bool(await ecs.value("SHOW synchronous_commit") == "on")

    await configure("ALTER SYSTEM SET synchronous_commit = on")
    await until(is_on, what="synchronous_commit")
    try:
        yield
    finally:
        await configure("ALTER SYSTEM RESET synchronous_commit")


@asynccontextmanager
async def _slow_account(
    ecs: Outside, person: Person, *, seconds: float
) -> AsyncIterator[Callable[[], Any]]:
    condition = f"NEW.user_id = '{person.id}'"
    async with slow_first(
        ecs, "INSERT ON credit_accounts", condition=condition, seconds=seconds
    ) as has_begun:
        yield has_begun


@asynccontextmanager
async def _failing_commit(ecs: Outside, person: Person) -> AsyncIterator[None]:
    """Let every statement of a person's offers pass, and the COMMIT behind them fail."""
    name = f"fail_{uuid4().hex}"
    await ecs.execute(f"""
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'this commit is made to fail'; END $$;
        CREATE CONSTRAINT TRIGGER {name} AFTER INSERT OR UPDATE ON credit_offers
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (NEW.user_id = '{person.id}') EXECUTE FUNCTION {name}();""")
    try:
        yield
    finally:
        await ecs.execute(f"DROP FUNCTION {name}() CASCADE")


async def _stored_for(ecs: Outside, person: Person) -> dict[str, int]:
    tables = {"offers": "credit_offers", "assessments": "risk_assessments", "jobs": "jobs"}
    return {
        name: await ecs.value(f"SELECT count(*) FROM {table} WHERE user_id = $1", person.id)
        for name, table in tables.items()
    }


def _at_work(ecs: Outside) -> tuple[str, int, int]:
    """Return the worker that is in a job: its program, its process, and its horse's."""
    found = [(name, horse) for name in WORKER_PROGRAMS for horse in ecs.children(name)]
    assert len(found) == 1, found
    program, horse = found[0]
    return program, ecs.stack.pid(program), horse


async def _is_published(ecs: Outside, job_id: str) -> bool:
    statement = "SELECT published_at IS NOT NULL FROM outbox_events WHERE id = $1"
    return bool(await ecs.value(statement, UUID(job_id)))


async def _is_true(condition: object) -> bool:
    return bool(condition)


def _of_redis(ecs: Outside, level: str) -> list[object]:
    """What the workers say of a lost Redis."""
    lines = ecs.logged(*WORKER_PROGRAMS, level=level)
    return [line for line in lines if "Redis" in line["event"] or line["event"] == "redis.lost"]


async def _own_relay(ecs: Outside) -> Process:
    """Start one more relay and return it when it carries."""
    marked = ecs.stack.env | {"STACK_ID": ecs.stack.place.stack_id, "PYTHONUNBUFFERED": "1"}
    relay = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.outbox_relay"), cwd=CHECKOUT, env=marked, stdout=PIPE
    )
    assert relay.stdout is not None
    while b"outbox.relay-started" not in (line := await relay.stdout.readline()):
        assert line, "the relay did not start"
    return relay


async def _kill_at_random(relays: list[Process]) -> None:
    async def kill(relay: Process) -> None:
        await asyncio.sleep(random.uniform(0, 0.08))  # A random moment is the point.
        relay.kill()
        await relay.communicate()

    await asyncio.gather(*(kill(relay) for relay in relays))
