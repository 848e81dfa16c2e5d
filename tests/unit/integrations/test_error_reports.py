"""Reports of errors: where and which kind, never what was said, and never a second error."""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import async_sessionmaker

from ecs.integrations.telemetry.error_reports import (
    ALLOWED,
    ErrorReports,
    event_of,
    only_allowed,
)
from ecs.integrations.telemetry.report_limit import WINDOW_SECONDS
from ecs.log import configure_logging
from ecs.repositories.exceptions import DatabaseError
from ecs.repositories.unit_of_work import UnitOfWork
from scripts.stack.place import CHECKOUT
from tests.sinks import Taken, report_collector


@pytest.fixture
def sentry() -> Iterator[Taken]:
    with report_collector() as taken:
        yield taken


def reports_to(dsn: str, *, now: Callable[[], float] = time.monotonic) -> ErrorReports:
    return ErrorReports(dsn, service="test", environment="testing", version="1.2.3", now=now)


def failing(secret: str) -> None:
    """Fail as code does that repeats what it was given."""
    local = secret * 2
    try:
        dict[str, str]()[secret]
    except KeyError as error:
        raise ValueError(f"{local} is wrong") from error


def logged(secret: str, **line: Any) -> dict[str, Any]:
    try:
        failing(secret)
    except ValueError as error:
        return {"event": "http.failed", "level": "error", "exc_info": error, **line}
    raise AssertionError


class TestReport:
    def test_arrives_with_kind_place_and_request_and_without_words(self, sentry: Taken) -> None:
        reports_to(sentry.url).report(logged("Maria", request_id="r-1", user_id="Maria"))
        [event] = sentry.until(lambda items: len(items) == 1)
        assert {*event} <= ALLOWED
        assert (event["message"], event["level"], event["release"]) == (
            *("http.failed", "error", "ecs@1.2.3"),
        )
        assert event["tags"] == {"service": "test", "request_id": "r-1"}
        first, last = event["exception"]["values"]
        assert (first["type"], last["type"]) == ("KeyError", "ValueError")
        assert [frame["function"] for frame in last["stacktrace"]["frames"]] == [
            *("logged", "failing"),
        ]
        assert "Maria" not in str(sentry.items)
        assert str(CHECKOUT) not in str(sentry.items)

    def test_of_a_process_about_to_end_arrives(self, sentry: Taken) -> None:
        reports = reports_to(sentry.url)
        pid = os.fork()
        if pid == 0:
            reports.report(logged("Maria"))
            os._exit(0)
        os.waitpid(pid, 0)
        assert len(sentry.items) == 1

    def test_is_lost_quietly_and_at_once_when_nobody_takes_it(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(1)
            dsn = f"http://public@127.0.0.1:{silent.getsockname()[1]}/1"
            reports = reports_to(dsn, now=count(step=WINDOW_SECONDS).__next__)
            started = time.monotonic()
            for _ in range(1000):
                reports.report(logged("Maria"))
            assert time.monotonic() - started < 2

    def test_of_the_same_again_waits_a_minute_and_says_how_many_were_held_back(
        self, sentry: Taken
    ) -> None:
        moments = iter([0.0, 1.0, 2.0, WINDOW_SECONDS])
        reports = reports_to(sentry.url, now=moments.__next__)
        for _ in range(4):
            reports.report({"event": "redis.lost", "level": "error"})
        first, second = sentry.until(lambda items: len(items) == 2)
        assert "repeated" not in first["tags"]
        assert second["tags"]["repeated"] == "2"

    def test_never_raises(self, sentry: Taken) -> None:
        reports_to(sentry.url).report({"exc_info": 7, "_record": object()})

    def test_of_who_sends_is_not_made(self, sentry: Taken) -> None:
        reports = reports_to(sentry.url)
        for name in ("urllib3.connectionpool", "opentelemetry.sdk", "sentry_sdk.errors", "ours"):
            record = logging.LogRecord(name, logging.ERROR, "", 1, "no", (), None, func="f")
            reports.report({"event": "no", "level": "error", "_record": record})
        assert [event["message"] for event in sentry.until(bool)] == ["ours: f"]

    def test_follows_from_every_logged_error_once(
        self, sentry: Taken, restored_logging: None
    ) -> None:
        reports = reports_to(sentry.url)

        def hear(line: Any) -> None:
            if line["level"] in {"error", "critical"}:
                reports.report(line)

        configure_logging(level="info", service="test", hear=hear)
        structlog.get_logger().warning("credit.not-this")
        structlog.get_logger().error("credit.failed", reason="Maria")
        logging.getLogger("library").error("Maria %s", "is wrong")
        events = sentry.until(lambda items: len(items) == 2)
        assert {event["message"] for event in events} == {
            "credit.failed",
            "library: test_follows_from_every_logged_error_once",
        }
        assert "Maria" not in str(events)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """The logging of the run as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


class TestEventOf:
    @given(secret=st.text(min_size=8).map(lambda text: f"~{text}~"))
    def test_repeats_no_value_of_a_line(self, secret: str) -> None:
        line = logged(secret, reason=secret, user=secret, context={"a": secret})
        assert secret not in str(event_of(line, service="test"))
        assert secret not in str(event_of({**line, "event": secret}, service="test"))

    def test_takes_an_error_that_is_being_dealt_with(self) -> None:
        event: dict[str, Any] = {}
        try:
            failing("Maria")
        except ValueError:
            event = event_of({"event": "redis.lost", "level": "critical"}, service="test")
        assert event["level"] == "fatal"
        assert event["fingerprint"][:2] == ["redis.lost", "ValueError"]

    async def test_tells_two_errors_of_the_database_apart_by_who_met_them(self) -> None:
        async def one(uow: UnitOfWork) -> None:
            async with uow:
                raise SQLAlchemyError("Maria")

        async def another(uow: UnitOfWork) -> None:
            async with uow:
                raise SQLAlchemyError("Maria")

        unit_of_work = UnitOfWork(async_sessionmaker())
        places = set()
        for work in (one, another):
            with pytest.raises(DatabaseError) as raised:
                await work(unit_of_work)
            line = {"event": "http.failed", "exc_info": raised.value}
            places.add(tuple(event_of(line, service="test")["fingerprint"]))
        assert len(places) == len((one, another))


class TestOnlyAllowed:
    def test_drops_what_nobody_listed(self) -> None:
        event = {"message": "a", "user": {"id": 1}, "request": {}, "extra": {}, "breadcrumbs": []}
        assert only_allowed(event, {}) == {"message": "a"}


class TestStartReports:
    def test_reports_what_ends_a_process(self, sentry: Taken) -> None:
        program = (
            "import sys\n"
            "from ecs.integrations.telemetry.error_reports import start_reports\n"
            "start_reports(sys.argv[1], service='s', environment='e', version='1')\n"
            "raise LookupError('Maria')\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program, sentry.url],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "LookupError: Maria" in ended.stderr
        [event] = sentry.items
        assert (event["message"], event["level"]) == ("process.ended", "fatal")
        assert "Maria" not in str(event)
