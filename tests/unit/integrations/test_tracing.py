"""Traces: what follows from what, what is let through, and collectors that do not answer."""

import asyncio
import os
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from structlog.testing import capture_logs

from ecs.integrations.telemetry.scrubbing import ATTRIBUTES, NAME, WITHOUT_NAME, scrubbed
from ecs.integrations.telemetry.tracing import FLUSH_SECONDS_MAX, OpenTelemetryTraces
from tests.sinks import Taken, trace_collector, tracing_to

BROKEN: Final = (
    None,
    "",
    "garbage",
    "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
    "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
    "00-" + "1" * 32 + "-" + "1" * 16,
    "00-" + "G" * 32 + "-" + "1" * 16 + "-01",
)


def told(traces: OpenTelemetryTraces, collector: Taken) -> dict[str, dict[str, Any]]:
    traces.flush()
    assert len({item["name"] for item in collector.items}) == len(collector.items)
    return {item["name"]: item for item in collector.items}


class TestSpan:
    def test_follows_from_its_parent_in_another_process(
        self, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        with traces.span("job first", parents=[None]):
            parent = traces.parent()
        with traces.span("job second", parents=[parent]):
            pass
        spans = told(traces, collector)
        assert spans["job first"]["parent_id"] is None
        assert spans["job second"]["parent_id"] == spans["job first"]["span_id"]
        assert spans["job second"]["trace_id"] == spans["job first"]["trace_id"]
        assert spans["job first"]["resource"] == {
            "service.name": "ecs-test",
            "service.version": "1.2.3",
            "deployment.environment.name": "testing",
        }

    @pytest.mark.parametrize("broken", BROKEN)
    def test_begins_a_trace_where_its_parent_is_none(
        self, traces: OpenTelemetryTraces, collector: Taken, broken: str | None
    ) -> None:
        with traces.span("job", parents=[broken]):
            pass
        assert told(traces, collector)["job"]["parent_id"] is None

    def test_of_a_batch_is_in_every_trace_and_what_happens_within_in_the_first(
        self, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        parents = []
        for name in ("one", "two", "three"):
            with traces.span(name, parents=[]):
                parents.append(traces.parent())
        with traces.span("handle", parents=[*parents, None, "garbage", parents[0]]):
            traces.begin_statement("SELECT 1 FROM users")(None)
        traces.flush()
        handled = [item for item in collector.items if item["name"] == "handle"]
        [statement] = [item for item in collector.items if item["name"] == "SELECT users"]
        by_trace = {item["trace_id"]: item for item in handled}
        first, *others = [by_trace[str(parent).split("-")[1]] for parent in parents]
        assert len(handled) == len(parents)
        assert statement["parent_id"] == first["span_id"]
        for other in others:
            place = {"trace_id": first["trace_id"], "span_id": first["span_id"]}
            assert other["links"] == [place]

    def test_that_fails_says_how_and_not_what(
        self, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        with pytest.raises(KeyError), traces.span("job", parents=[]):
            raise KeyError("Maria")
        [span] = told(traces, collector).values()
        assert span["failed"]
        assert span["attributes"]["error.type"] == "KeyError"
        assert "Maria" not in str(collector.items)

    def test_of_a_forked_process_arrives(
        self, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        with traces.span("job parent", parents=[]):
            parent = traces.parent()
        pid = os.fork()
        if pid == 0:
            with traces.span("job child", parents=[parent]):
                pass
            traces.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        assert collector.items[0]["name"] == "job child"

    def test_is_not_kept_where_its_parent_was_not(
        self, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        with traces.span("job", parents=["00-" + "1" * 32 + "-" + "1" * 16 + "-00"]):
            assert str(traces.parent()).endswith("-00")
            traces.begin_statement("SELECT 1")(None)
        assert told(traces, collector) == {}


class TestSampling:
    def test_is_decided_once_and_by_opentelemetrys_own_variables(
        self, collector: Taken, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.0")
        with tracing_to(collector.url) as traces:
            with traces.span("job", parents=[]):
                parent = traces.parent()
            with traces.span("job that follows", parents=[parent]):
                pass
            with traces.span("job", parents=["00-" + "1" * 32 + "-" + "1" * 16 + "-01"]):
                pass
            assert [item["trace_id"] for item in told(traces, collector).values()] == ["1" * 32]
            assert str(parent)[-2:] in {"00", "02"}


class TestRecord:
    def test_reaches_from_then_to_now(self, traces: OpenTelemetryTraces, collector: Taken) -> None:
        with traces.span("job", parents=[]):
            parent = traces.parent()
        since = datetime.now(UTC) - timedelta(seconds=3)
        traces.record("outbox rq:accounts", parent=parent, since=since)
        spans = told(traces, collector)
        wait = spans["outbox rq:accounts"]
        assert wait["parent_id"] == spans["job"]["span_id"]
        assert wait["start_ns"] == pytest.approx(since.timestamp() * 1e9, abs=1e6)
        assert wait["end_ns"] - wait["start_ns"] > 2e9

    def test_never_ends_before_it_began(
        self, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        later = datetime.now(UTC) + timedelta(seconds=60)
        traces.record("outbox", parent="00-" + "1" * 32 + "-" + "1" * 16 + "-01", since=later)
        [wait] = told(traces, collector).values()
        assert wait["start_ns"] <= wait["end_ns"]

    @pytest.mark.parametrize("broken", BROKEN)
    def test_is_not_made_of_nothing(
        self, traces: OpenTelemetryTraces, collector: Taken, broken: str | None
    ) -> None:
        traces.record("outbox", parent=broken, since=datetime.now(UTC))
        assert told(traces, collector) == {}


class TestParent:
    def test_is_none_where_nothing_goes_on(self, traces: OpenTelemetryTraces) -> None:
        assert traces.parent() is None


class TestBeginStatement:
    def test_is_nothing_where_nothing_is_traced(
        self, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        traces.begin_statement("SELECT 1")(None)
        assert told(traces, collector) == {}


class TestACollector:
    def test_that_is_away_costs_nothing_but_a_line_until_it_is_back(self) -> None:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
        with capture_logs() as lines, tracing_to(f"http://127.0.0.1:{port}") as traces:
            for _ in range(3):
                self._work_and_flush(traces)
            with trace_collector(port=port) as collector:
                self._work_and_flush(traces)
                assert [item["name"] for item in collector.items] == ["job"]
        assert [line["event"] for line in lines] == ["traces.not-sent", "traces.sent-again"]

    def test_that_hangs_holds_up_nobody_for_more_than_two_seconds(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(1)
            with tracing_to(f"http://127.0.0.1:{silent.getsockname()[1]}") as traces:
                self._work_and_flush(traces, spans=3000)

    def _work_and_flush(self, traces: OpenTelemetryTraces, *, spans: int = 1) -> None:
        for _ in range(spans):
            with traces.span("job", parents=[]):
                pass
        started = time.monotonic()
        traces.flush()
        assert time.monotonic() - started < FLUSH_SECONDS_MAX + 1  # A busy machine takes its time.


class TestTheApi:
    def test_never_tells_a_path_a_query_or_who_asked(
        self, traces: OpenTelemetryTraces, collector: Taken
    ) -> None:
        app = FastAPI(
            telemetry={
                "tracer_provider": traces.provider,
                "operation_spans": False,
                "metrics": False,
                "logs": False,
            }
        )

        @app.get("/people/{name}")
        async def person(name: str) -> str:
            return str(traces.parent())

        async def ask(path: str) -> httpx.Response:
            transport = httpx.ASGITransport(app)
            headers = {"User-Agent": "Maria's telephone", "tracestate": "a=Maria"}
            headers |= {"traceparent": "00-" + "1" * 32 + "-" + "1" * 16 + "-00"}
            async with httpx.AsyncClient(transport=transport, base_url="http://maria") as client:
                return await client.get(path, headers=headers)

        answer = asyncio.run(ask("/people/Maria?pan=ABCDE1234F"))
        asyncio.run(ask("/Maria"))
        traces.flush()
        routes = [item for item in collector.items if item["kind"] == "server"]
        assert [item["name"] for item in routes] == ["GET /people/{name}", "GET"]
        assert routes[0]["span_id"] in answer.text
        assert "maria" not in str(collector.items).lower()
        assert "ABCDE1234F" not in str(collector.items)


class TestScrubbed:
    @given(
        attributes=st.dictionaries(
            st.sampled_from([*sorted(ATTRIBUTES), "url.path", "url.query", "client.address"])
            | st.text(max_size=20),
            st.text(max_size=20) | st.integers(),
        ),
        name=st.text(max_size=30),
        kind=st.sampled_from(list(SpanKind)),
    )
    def test_lets_nothing_through_that_is_not_listed(
        self, attributes: dict[str, Any], name: str, kind: SpanKind
    ) -> None:
        place = SpanContext(
            1,
            2,
            is_remote=True,
            trace_flags=TraceFlags(1),
            trace_state=TraceState([("somebody", "Maria")]),
        )
        span = ReadableSpan(
            name=name,
            context=place,
            parent=place,
            resource=Resource({}),
            attributes=attributes,
            kind=kind,
            status=Status(StatusCode.ERROR, "Maria is unknown"),
        )
        clean = scrubbed(span)
        assert {*(clean.attributes or {})} <= ATTRIBUTES
        assert clean.status.description is None
        assert all(one is not None and not one.trace_state for one in (clean.context, clean.parent))
        if kind is SpanKind.SERVER:  # Its own name would be the path.
            assert re.match(r"[A-Z]{1,10}( |$)", clean.name)
        else:
            assert clean.name == name or (clean.name == WITHOUT_NAME and not NAME.fullmatch(name))
