"""Statements in traces, and the whole of it switched off."""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from ecs.integrations.telemetry.tracing import OpenTelemetryTraces
from ecs.repositories.database import job_engine
from ecs.repositories.statements import watch_statements
from scripts.stack.place import CHECKOUT
from tests.builders import Database, environment_for, settings_for
from tests.sinks import Taken

SECRET: Final = "maria-7788"
WORKERS: Final = (
    *("audit_sealer", "backlog", "credit_report", "cron", "decision"),
    *("emotions_consumer", "outbox_relay", "rq_worker"),
)
START_ALL: Final = f"""
import importlib, json, sys
from ecs.api.app import create_app
from ecs.config import read_settings
from ecs.telemetry import start_telemetry
settings = read_settings()
create_app(settings, start_telemetry(settings, service="test"))
for name in {WORKERS!r}:
    importlib.import_module(f"workers.{{name}}")
unwanted = ("sentry_sdk", "opentelemetry.sdk.trace", "opentelemetry.exporter")
print(json.dumps([name for name in sys.modules if name.startswith(unwanted)]))
"""
# Fails where something listens on the port already.
START_API: Final = """
import socket, sys
from ecs.api.asgi import create
create()
socket.create_server(("127.0.0.1", int(sys.argv[1])))
"""


@pytest.fixture
async def engine(
    database: Database, redis_url: str, traces: OpenTelemetryTraces
) -> AsyncIterator[AsyncEngine]:
    """An engine whose statements are traced."""
    engine = job_engine(settings_for(database, redis_url).db_url, name="test")
    watch_statements(engine, traces.begin_statement)
    yield engine
    await engine.dispose()


class TestWatchStatements:
    async def test_shows_a_statement_once_within_its_span_and_no_value(
        self, engine: AsyncEngine, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        with traces.span("job", parents=[]):
            async with engine.connect() as connection:
                await connection.execute(
                    text("SELECT id FROM users WHERE email = :email"), {"email": SECRET}
                )
        spans = sent(traces, collector)
        [statement] = [span for span in spans if span["name"] == "SELECT users"]
        [job] = [span for span in spans if span["name"] == "job"]
        assert statement["parent_id"] == job["span_id"]
        assert job["start_ns"] <= statement["start_ns"] < statement["end_ns"] <= job["end_ns"]
        assert "FROM users WHERE email = $1" in statement["attributes"]["db.query.text"]
        assert SECRET not in str(spans)

    async def test_shows_what_failed_without_what_was_said_of_it(
        self, engine: AsyncEngine, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        with traces.span("job", parents=[]):
            async with engine.connect() as connection:
                with pytest.raises(DBAPIError):
                    await connection.execute(
                        text("SELECT CAST(CAST(:value AS text) AS uuid)"), {"value": SECRET}
                    )
        [failed] = [span for span in sent(traces, collector) if span["failed"]]
        assert failed["name"] == "SELECT"
        assert failed["message"] == ""
        assert SECRET not in str(collector.items)

    async def test_shows_nothing_where_nothing_is_traced(
        self, engine: AsyncEngine, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        assert sent(traces, collector) == []


class TestStartTelemetry:
    def test_imports_neither_sentry_nor_what_traces_unless_asked(
        self, database: Database, redis_url: str
    ) -> None:
        # FastAPI imports OpenTelemetry's interface, redis-py what measures in its SDK.
        assert self._imported(database, redis_url, {}) == "[]"

    def test_imports_both_when_asked(self, database: Database, redis_url: str) -> None:
        asked = {
            "SENTRY_DSN": "http://public@127.0.0.1:9/1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        }
        imported = self._imported(database, redis_url, asked)
        assert "sentry_sdk" in imported
        assert "opentelemetry.sdk.trace" in imported

    def test_opens_no_port_for_an_api_which_has_a_page_that_proxies_do_not_reach(
        self, database: Database, redis_url: str
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        environment = environment_for(database, redis_url) | {"METRICS_PORT": port}
        run(START_API, port, environment=environment)

    def _imported(self, database: Database, redis_url: str, asked: dict[str, str]) -> str:
        said = run(START_ALL, environment=environment_for(database, redis_url) | asked)
        return said.strip().splitlines()[-1]


def run(program: str, *words: str, environment: dict[str, str]) -> str:
    """Run a program of Python; return what it said."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sent(traces: OpenTelemetryTraces, collector: Taken) -> list[dict[str, Any]]:
    traces.flush()
    return collector.items
