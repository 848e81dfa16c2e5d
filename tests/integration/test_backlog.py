"""What waits: what is shown of it, what the look costs, and the process that looks."""

import asyncio
import json
import signal
import socket
import sys
import time
import urllib.request
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from ecs.bootstrap import Application, application
from ecs.config import RabbitSettings
from ecs.domain.backlog import database_readings
from ecs.integrations.telemetry.prometheus import PrometheusMeasures
from ecs.repositories.backlog_repository import _WAITING
from ecs.repositories.exceptions import RepositoryError
from ecs.services.exceptions import DestinationUnavailable
from ecs.telemetry import Telemetry
from scripts.stack.place import CHECKOUT
from tests.builders import environment_for, settings_for
from tests.conftest import Database
from tests.exposition import samples, value_of
from tests.integration.audit_support import note, seal_all
from tests.integration.test_audit_sealer import away, back
from tests.shared_services import Services
from workers.backlog import looking_at

Shown = dict[tuple[str, ...], float]

OUTBOX: Final = """
INSERT INTO outbox_events (id, name, kind, destination, payload, available_at, published_at,
    parked_at)
VALUES (gen_random_uuid(), 'n', 'k', $1, '{}', now() - $2 * interval '1 second',
    CASE $3 WHEN 'published' THEN now() END, CASE $3 WHEN 'parked' THEN now() END)
"""
JOB: Final = """
INSERT INTO jobs (id, kind, user_id, status, created_at, finished_at)
VALUES (gen_random_uuid(), $1, $2, $3, now() - $4 * interval '1 second',
    CASE $3 WHEN 'succeeded' THEN now() END)
"""
APPLICATION: Final = """
INSERT INTO prequalification_applications (id, user_id, pan_ciphertext, pan_blind_index,
    pan_masked, applicant_name, loan_type, monthly_income_minor, loan_amount_minor, status,
    duplicate_period, decision_reason, policy, created_at)
SELECT gen_random_uuid(), $1, decode('010131', 'hex'), sha256(gen_random_uuid()::text::bytea),
    'XXXXXX234F', 'Asha Rao', 'HOME', 1, 1, $2, 'empty',
    CASE WHEN $2 <> 'PENDING' THEN 'score' END, CASE WHEN $2 <> 'PENDING' THEN 'p' END,
    now() - $3 * interval '1 second'
"""
DONE: Final = 100_000
FINISHED: Final = (
    f"""INSERT INTO outbox_events (id, name, kind, destination, payload, published_at)
    SELECT gen_random_uuid(), 'n', 'k', 'rq:accounts', '{{}}', now()
    FROM generate_series(1, {DONE})""",
    f"""INSERT INTO jobs (id, kind, user_id, status, finished_at)
    SELECT gen_random_uuid(), 'open_account', (SELECT id FROM users LIMIT 1), 'succeeded', now()
    FROM generate_series(1, {DONE})""",
    f"""INSERT INTO prequalification_applications (id, user_id, pan_ciphertext, pan_blind_index,
        pan_masked, applicant_name, loan_type, monthly_income_minor, loan_amount_minor, status,
        duplicate_period, decision_reason, policy)
    SELECT gen_random_uuid(), (SELECT id FROM users LIMIT 1), decode('010131', 'hex'),
        sha256(n::text::bytea), 'XXXXXX234F', 'Asha Rao', 'HOME', 1, 1, 'REJECTED', 'empty',
        'score', 'p'
    FROM generate_series(1, {DONE}) n""",
    f"""INSERT INTO audit_log (actor, service, action, application_id)
    SELECT 'system', 'api', 'ENCRYPT', gen_random_uuid() FROM generate_series(1, {DONE})""",
    """INSERT INTO audit_seals (id, first_id, last_id, row_ids, row_digests, previous_hash, hash)
    SELECT n, n, CASE n WHEN 500 THEN (SELECT max(id) FROM audit_log) ELSE n END,
        ARRAY[n], ARRAY['\\x00'::bytea], '\\x00', '\\x00'
    FROM generate_series(1, 500) n""",
)
SECONDS_MAX: Final = 30


class Looking:
    """The services with measures that are read as Prometheus reads them."""

    def __init__(self, ecs: Application, measures: PrometheusMeasures) -> None:
        self.backlog = ecs.backlog
        self._measures = measures

    async def sees(self) -> Shown:
        """Look at the database; return what is not nought there."""
        await self.backlog.look_at_database()
        return self.shown()

    def shown(self) -> Shown:
        """Return what is shown of the database and is not nought; ages in whole seconds."""
        ours = {one.gauge.name for one in database_readings([])}
        return {
            (name, *(value for _, value in sorted(labels))): float(int(shown))
            for (name, labels), shown in samples(self._measures.exposition()).items()
            if name in ours and shown
        }

    def up(self, source: str) -> float | None:
        return value_of(self._measures.exposition(), "ecs_backlog_up", source=source)


@asynccontextmanager
async def looking(database: Database, redis_url: str, **changes: Any) -> AsyncIterator[Looking]:
    measures = PrometheusMeasures()
    telemetry = Telemetry(measures=measures)
    settings = settings_for(database, redis_url, **changes)
    async with application(settings, name="test", telemetry=telemetry) as ecs:
        yield Looking(ecs, measures)


@pytest.fixture
async def look(database: Database, redis_url: str) -> AsyncIterator[Looking]:
    """Somebody who looks at the database, and knows of no broker."""
    async with looking(database, redis_url) as one:
        yield one


class TestLookAtDatabase:
    async def test_sees_nothing_where_nothing_waits(self, look: Looking) -> None:
        assert look.up("postgresql") is None  # Nobody has looked yet.
        assert await look.sees() == {}
        assert look.up("postgresql") == 1

    async def test_sees_what_could_be_carried_and_for_how_long(
        self, look: Looking, owner: Any
    ) -> None:
        for destination, seconds, state in [
            ("rq:accounts", 90, ""),
            ("rq:accounts", 30, ""),
            ("rq:accounts", -60, ""),  # A retry that is still to come.
            ("rq:accounts", 900, "published"),
            ("amqp:ecs.domain", 5, ""),
            ("rq:mail", 800, "parked"),
            ("rq:mail", -800, "parked"),
        ]:
            await owner.execute(OUTBOX, destination, seconds, state)
        assert await look.sees() == {
            ("ecs_outbox_waiting", "rq:accounts"): 2,
            ("ecs_outbox_lag_seconds", "rq:accounts"): 90,
            ("ecs_outbox_waiting", "amqp:ecs.domain"): 1,
            ("ecs_outbox_lag_seconds", "amqp:ecs.domain"): 5,
            ("ecs_outbox_parked", "rq:mail"): 2,
        }

    async def test_sees_what_no_part_of_this_version_carries(
        self, look: Looking, owner: Any, user_id: UUID
    ) -> None:
        for destination, seconds in [("rq:forgotten", 70), ("amqp:old", 80)]:
            await owner.execute(OUTBOX, destination, seconds, "")
        await owner.execute(JOB, "an_old_kind", user_id, "queued", 60)
        assert await look.sees() == {
            ("ecs_outbox_waiting", "other"): 2,
            ("ecs_outbox_lag_seconds", "other"): 80,
            ("ecs_jobs_unfinished", "other", "queued"): 1,
            ("ecs_jobs_oldest_unfinished_seconds", "other"): 60,
        }

    async def test_sees_jobs_that_are_not_finished(
        self, look: Looking, owner: Any, user_id: UUID
    ) -> None:
        for kind, status, seconds in [
            ("open_account", "queued", 40),
            ("open_account", "queued", 20),
            ("open_account", "running", 50),
            ("open_account", "succeeded", 500),
            ("send_email", "running", 10),
        ]:
            await owner.execute(JOB, kind, user_id, status, seconds)
        assert await look.sees() == {
            ("ecs_jobs_unfinished", "open_account", "queued"): 2,
            ("ecs_jobs_unfinished", "open_account", "running"): 1,
            ("ecs_jobs_unfinished", "send_email", "running"): 1,
            ("ecs_jobs_oldest_unfinished_seconds", "open_account"): 50,
            ("ecs_jobs_oldest_unfinished_seconds", "send_email"): 10,
        }

    async def test_sees_applications_that_are_open(
        self, look: Looking, owner: Any, user_id: UUID
    ) -> None:
        for status, seconds in [
            ("PENDING", 30),
            ("PENDING", 60),
            ("MANUAL_REVIEW", 9_000),
            ("REJECTED", 100),
        ]:
            await owner.execute(APPLICATION, user_id, status, seconds)
        assert await look.sees() == {
            ("ecs_prequalifications_open", "PENDING"): 2,
            ("ecs_prequalifications_open", "MANUAL_REVIEW"): 1,
            ("ecs_prequalifications_oldest_pending_seconds",): 60,
        }

    async def test_sees_audit_rows_until_they_are_sealed(
        self, look: Looking, ecs: Application, owner: Any
    ) -> None:
        await note(ecs, 3)
        await seal_all(ecs)
        assert await look.sees() == {}
        for seconds in (70, 10):
            await owner.execute(
                "INSERT INTO audit_log (at, actor, service, action, application_id) VALUES"
                " (now() - $1 * interval '1 second', 's', 's', 'ENCRYPT', gen_random_uuid())",
                seconds,
            )
        assert await look.sees() == {("ecs_audit_oldest_unsealed_seconds",): 70}
        await seal_all(ecs)
        assert await look.sees() == {}

    async def test_sees_that_nothing_waits_any_more(self, look: Looking, owner: Any) -> None:
        await owner.execute(OUTBOX, "rq:accounts", 90, "")
        assert len(await look.sees()) == 2
        await owner.execute("UPDATE outbox_events SET published_at = now()")
        assert await look.sees() == {}

    async def test_reads_nothing_that_is_finished(
        self, look: Looking, owner: Any, plain: Any, user_id: UUID
    ) -> None:
        for statement in (*FINISHED, "ANALYZE"):
            await owner.execute(statement)
        for number in range(20):
            await owner.execute(OUTBOX, "rq:accounts", number, ("", "parked")[number % 2])
            await owner.execute(JOB, "send_email", user_id, "queued", number)
            status = ("PENDING", "MANUAL_REVIEW")[number % 2]
            await owner.execute(APPLICATION, user_id, status, number)
        explained = await plain.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {_WAITING.text}")
        read = list(_reads(json.loads(explained)[0]["Plan"]))
        assert {kind for kind, _ in read} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
        assert sum(rows for _, rows in read) < 100
        assert (await look.sees())["ecs_outbox_waiting", "rq:accounts"] == 10


class TestLook:
    async def test_that_fails_leaves_what_was_seen_and_says_so(
        self, look: Looking, owner: Any, database: Database, services: Services
    ) -> None:
        await owner.execute(OUTBOX, "rq:accounts", 90, "")
        before = await look.sees()
        await away(services, database)
        with pytest.raises(RepositoryError):
            await look.sees()
        assert (look.up("postgresql"), look.shown()) == (0, before)
        await back(services, database)
        await look.sees()
        assert look.up("postgresql") == 1

    async def test_at_queues_that_nobody_answers_hides_nothing_of_the_database(
        self, look: Looking
    ) -> None:
        with pytest.raises(DestinationUnavailable):
            await look.backlog.look_at_queues()
        await look.sees()
        assert (look.up("rabbitmq"), look.up("postgresql")) == (0, 1)

    async def test_at_queues_needs_no_database(
        self,
        database: Database,
        redis_url: str,
        services: Services,
        rabbitmq: RabbitSettings,
    ) -> None:
        async with looking(database, redis_url, rabbitmq=rabbitmq) as look:
            await away(services, database)
            await look.backlog.look_at_queues()
            with pytest.raises(RepositoryError):
                await look.sees()
            await back(services, database)
            assert (look.up("rabbitmq"), look.up("postgresql")) == (1, 0)


class TestLookingAt:
    async def test_tells_of_an_outage_once_and_of_its_end(self) -> None:
        looking = looking_at(
            "rabbitmq",
            _looks(DestinationUnavailable("gone"), DestinationUnavailable("still"), None, None),
        )
        with capture_logs() as logged:
            for _ in range(4):
                await looking.once()
        assert [(line["event"], line["log_level"]) for line in logged] == [
            ("backlog.not-seen", "warning"),
            ("backlog.seen-again", "info"),
        ]
        assert {line["place"] for line in logged} == {"rabbitmq"}

    async def test_shows_the_stack_of_what_nobody_expected(self) -> None:
        looking = looking_at("postgresql", _looks(ZeroDivisionError(), ZeroDivisionError()))
        with capture_logs() as logged:
            for _ in range(2):
                await looking.once()
        (line,) = logged
        assert line["log_level"] == "error"
        assert isinstance(line["exc_info"], ZeroDivisionError)


@pytest.mark.timeout(120)
class TestProcess:
    async def test_starts_without_anything_to_see_and_sees_it_when_it_is_there(
        self, database: Database, redis_url: str, owner: Any, services: Services
    ) -> None:
        await owner.execute(OUTBOX, "rq:accounts", 90, "")
        await away(services, database)
        async with _process(database, redis_url) as (process, port):
            seen = [json.loads(await process.stdout.readline()) for _ in range(3)]
            assert {(line["event"], line.get("place")) for line in seen} == {
                ("backlog.started", None),
                ("backlog.not-seen", "postgresql"),
                ("backlog.not-seen", "rabbitmq"),
            }
            assert {line["level"] for line in seen} == {"info", "warning"}
            await back(services, database)
            again = json.loads(await process.stdout.readline())
            assert (again["event"], again["place"]) == ("backlog.seen-again", "postgresql")
            shown = await asyncio.to_thread(_read, port)
            assert value_of(shown, "ecs_outbox_waiting", destination="rq:accounts") == 1
            assert value_of(shown, "ecs_backlog_up", source="postgresql") == 1
            assert value_of(shown, "ecs_backlog_up", source="rabbitmq") == 0
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(SECONDS_MAX):
                assert await process.wait() == 0
            assert time.monotonic() - started < 3


def _looks(*outcomes: Exception | None) -> Callable[[], Awaitable[None]]:
    left = list(outcomes)

    async def look() -> None:
        outcome = left.pop(0)
        if outcome is not None:
            raise outcome

    return look


def _reads(plan: dict[str, Any]) -> Any:
    """Yield how each table is read, and how many rows of it."""
    if "Relation Name" in plan:
        dropped = plan.get("Rows Removed by Filter", 0) + plan.get(
            "Rows Removed by Index Recheck", 0
        )
        yield plan["Node Type"], plan["Actual Rows"] + dropped
    for part in plan.get("Plans", []):
        yield from _reads(part)


def _read(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        content: bytes = answer.read()
        return content


@asynccontextmanager
async def _process(database: Database, redis_url: str) -> AsyncIterator[tuple[Any, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.backlog"),
        cwd=CHECKOUT,
        env=environment_for(database, redis_url)
        | {"METRICS_PORT": str(port), "RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": "1"},
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX * 2):
            yield process, port
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
