"""One trace from a request to everything that follows from it, and errors that are reported."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pytest

from scripts.show_trace import read, trace_of
from scripts.stack import Stack
from scripts.stack.place import Watching
from tests.e2e.prequalification_support import APPLICATIONS, an_application
from tests.e2e.support import Outside, Person, outside, until
from tests.sinks import Taken, report_collector

AGENT: Final = "Snooper/1.0 (Maria's telephone)"

Span = dict[str, Any]

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A stack that keeps its traces, and who is told of its errors."""

    stack: Stack
    reports: Taken

    def spans(self) -> list[Span]:
        return read(self.stack.public / "traces")


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """A stack of this file, as by ``make up TRACES=1 SENTRY_DSN=...``."""
    with report_collector() as reports:
        told = Watching(traces="1", sentry_dsn=reports.url)
        with Stack(throwaway=True, watched=told) as stack:
            yield Watched(stack=stack, reports=reports)


@pytest.fixture
async def ecs(watched: Watched) -> AsyncIterator[Outside]:
    """The running system from outside; what must always hold is checked at the end."""
    async with outside(watched.stack) as ecs:
        yield ecs


def of_request(spans: list[Span], request_id: str) -> list[Span]:
    """All spans of the trace of a request."""
    traces = {
        span["trace_id"] for span in spans if span["attributes"].get("ecs.request_id") == request_id
    }
    assert len(traces) <= 1, traces
    return [span for span in spans if span["trace_id"] in traces]


async def trace_with(watched: Watched, request_id: str, *names: str) -> list[Span]:
    """Wait for the trace of a request until it holds spans of these names; return it."""
    trace: list[Span] = []

    async def is_whole() -> bool:
        trace[:] = of_request(watched.spans(), request_id)
        return Counter(names) <= Counter(span["name"] for span in trace)

    await until(is_whole, what=f"a trace with {names}")
    return trace


def one(trace: list[Span], name: str) -> Span:
    [span] = [span for span in trace if span["name"] == name]
    return span


def statements_below(trace: list[Span], above: Span) -> list[str]:
    return [
        span["attributes"]["db.query.text"]
        for span in trace
        if span["parent_id"] == above["span_id"] and "db.query.text" in span["attributes"]
    ]


def assert_nothing_of(person: Person, texts: list[str], items: list[dict[str, Any]]) -> None:
    """Nothing that was sent says who did it, where from, or what with."""
    sent = json.dumps(items)
    private = ["Maria Souza", "Asha Rao", "Snooper", "telephone", str(person.id), "@example.com"]
    found = [text for text in [*private, *texts] if text in sent]
    assert not found
    names = {name for item in items for name in item.get("attributes", {})}
    assert not [name for name in names if name.startswith(("url.", "client.", "user_agent"))]


class TestTraces:
    async def test_lead_from_an_acceptance_to_the_account_and_the_mail(
        self, ecs: Outside, watched: Watched
    ) -> None:
        person, offer_id = await ecs.an_offer()
        request_id = str(uuid4())
        headers = {"X-Request-ID": request_id, "User-Agent": AGENT}
        path = f"/api/v1/credit/offers/{offer_id}/accept"
        answer = await ecs.http.post(f"{path}", headers=person.headers | headers)
        assert answer.status_code == 202, answer.text
        accept = "POST /api/v1/credit/offers/{offer_id}/accept"
        job, mail = "job open_account", "job send_email"
        wait = "outbox rq:accounts"
        trace = await trace_with(watched, request_id, accept, wait, job, mail, "send mail")
        server = one(trace, accept)
        assert server["parent_id"] is None
        assert server["attributes"]["http.response.status_code"] == 202
        assert any("outbox_events" in text for text in statements_below(trace, server))
        assert one(trace, wait)["parent_id"] == server["span_id"]
        assert one(trace, job)["parent_id"] == server["span_id"]
        assert any("credit_accounts" in text for text in statements_below(trace, one(trace, job)))
        assert one(trace, mail)["parent_id"] == one(trace, job)["span_id"]
        assert one(trace, "send mail")["parent_id"] == one(trace, mail)["span_id"]
        services = {span["resource"]["service.name"] for span in trace}
        assert services == {"ecs-api", "ecs-outbox-relay", "ecs-rq-accounts", "ecs-rq-mail"}
        assert_nothing_of(person, [offer_id], watched.spans())
        lines = trace_of(watched.spans(), request=request_id)
        assert [line.depth for line in lines if line.span["name"] in {accept, job, mail}] == [
            *(0, 1, 2),
        ]

    async def test_lead_from_an_application_to_its_decision(
        self, ecs: Outside, watched: Watched
    ) -> None:
        person, request_id, body = await ecs.someone(), str(uuid4()), an_application()
        headers = person.headers | {"X-Request-ID": request_id, "User-Agent": AGENT}
        answer = await ecs.http.post(APPLICATIONS, json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        submission = f"POST {APPLICATIONS}"
        report, decision = (
            "handle ecs.prequalification.credit-report",
            "handle ecs.prequalification.decision",
        )
        waits = ["outbox amqp:ecs.domain"] * 2
        trace = await trace_with(watched, request_id, submission, *waits, report, decision)
        assert one(trace, report)["parent_id"] == one(trace, submission)["span_id"]
        assert statements_below(trace, one(trace, report))
        assert one(trace, "ask bureau")["parent_id"] == one(trace, report)["span_id"]
        private = [body["pan_number"], answer.json()["application_id"], "80000", "500000"]
        assert_nothing_of(person, private, watched.spans())

    async def test_begin_at_our_door_whatever_a_client_says(
        self, ecs: Outside, watched: Watched
    ) -> None:
        request_id, theirs = str(uuid4()), f"{uuid4().hex}"
        headers = {
            "X-Request-ID": request_id,
            "traceparent": f"00-{theirs}-00f067aa0ba902b7-00",
            "tracestate": "somebody=Maria",
            "baggage": "name=Maria",
        }
        answer = await ecs.http.get("/api/v1/credit/offers?secret=1", headers=headers)
        assert answer.status_code == 401
        [span] = await trace_with(watched, request_id, "GET /api/v1/credit/offers")
        assert (span["trace_id"] != theirs, span["parent_id"], span["trace_state"]) == (
            *(True, None, ""),
        )

    async def test_are_not_made_of_who_asks_all_the_time(
        self, ecs: Outside, watched: Watched
    ) -> None:
        request_id = str(uuid4())
        for path in ("/health", "/healthz", "/ready", "/api/v1/credit/offers"):
            await ecs.api[0].get(path, headers={"X-Request-ID": request_id})
        await trace_with(watched, request_id, "GET /api/v1/credit/offers")
        names = {span["name"] for span in watched.spans()}
        assert names & {"GET /health", "GET /healthz", "GET /ready", "GET /metrics", "GET"} == set()


class TestReports:
    async def test_tell_of_an_unforeseen_error_once_where_and_in_which_request(
        self, ecs: Outside, watched: Watched
    ) -> None:
        person, request_id = await ecs.someone(), str(uuid4())
        await ecs.execute("ALTER TABLE credit_accounts RENAME TO credit_accounts_away")
        try:
            headers = person.headers | {"X-Request-ID": request_id, "User-Agent": AGENT}
            answer = await ecs.http.get("/api/v1/credit/account", headers=headers)
        finally:
            await ecs.execute("ALTER TABLE credit_accounts_away RENAME TO credit_accounts")
        assert answer.status_code == 500, answer.text
        [report] = await self._of(watched, "http.failed", count=1)
        assert report["tags"] == {"service": "api", "request_id": request_id}
        [*_, error] = report["exception"]["values"]
        assert error["type"] == "DatabaseError"
        assert "value" not in error
        functions = {frame["function"] for frame in error["stacktrace"]["frames"]}
        assert "RequestContextMiddleware._answer" in functions
        assert_nothing_of(person, ["42P01", "credit_accounts_away"], watched.reports.items)

    async def test_tell_of_each_failure_of_a_job_once(self, ecs: Outside, watched: Watched) -> None:
        person, offer_id = await ecs.an_offer()
        request_id, role = str(uuid4()), "ecs_app"
        await ecs.execute(f"REVOKE INSERT ON credit_accounts FROM {role}")
        try:
            answer = await ecs.accept(person, offer_id, request_id=request_id)
            assert answer.status_code == 202, answer.text
            await self._of(watched, "rq.worker: handle_exception", count=1)
        finally:
            await ecs.execute(f"GRANT INSERT ON credit_accounts TO {role}")
        await ecs.finished_job(person, answer.json()["job_id"], seconds=60)
        lines = [
            line
            for line in ecs.logged("rq-accounts-1", "rq-accounts-2", level="error")
            if "exception raised while executing" in line["event"]
        ]
        reports = await self._of(watched, "rq.worker: handle_exception", count=len(lines))
        assert len(reports) == len(lines) > 0
        assert {report["tags"]["request_id"] for report in reports} == {request_id}
        assert {report["exception"]["values"][-1]["type"] for report in reports} == {
            "DatabaseError"
        }
        assert_nothing_of(person, [offer_id, "permission denied"], watched.reports.items)

    async def _of(self, watched: Watched, message: str, *, count: int) -> list[dict[str, Any]]:
        def told(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [item for item in items if item["message"] == message]

        items = await asyncio.to_thread(
            watched.reports.until, lambda so_far: len(told(so_far)) >= count
        )
        return told(items)
