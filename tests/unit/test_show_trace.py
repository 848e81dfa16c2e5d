"""Traces on a terminal."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts.show_trace import drawn, main, read, trace_of


def a_span(span_id: str, parent: str | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "trace_id": "a",
        "span_id": span_id,
        "parent_id": parent,
        "name": f"what {span_id}",
        "kind": "internal",
        "start_ns": int(span_id, 16) * 1_000_000,
        "end_ns": int(span_id, 16) * 1_000_000 + 2_000_000,
        "failed": False,
        "attributes": {},
        "resource": {"service.name": "ecs-api"},
    } | changes


TRACE = [
    a_span("3", "1"),
    a_span("1", kind="server", attributes={"ecs.request_id": "r-1"}),
    a_span("2", "1", failed=True),
    a_span("4", "2", resource={"service.name": "ecs-rq-mail"}),
    a_span("5", "gone"),
]


class TestTraceOf:
    def test_puts_each_span_below_the_one_it_follows_from(self) -> None:
        lines = trace_of(TRACE, request="r-1")
        assert [(line.span["span_id"], line.depth) for line in lines] == [
            *(("1", 0), ("2", 1), ("4", 2), ("3", 1), ("5", 0)),
        ]

    def test_of_nobody_is_the_newest_that_began_with_a_request(self) -> None:
        newer = a_span("9", trace_id="b", kind="server")
        job = a_span("a", trace_id="c", kind="consumer")
        [line] = trace_of([*TRACE, newer, job], request=None)
        assert line.span == newer

    def test_of_an_unknown_request_is_empty(self) -> None:
        assert trace_of(TRACE, request="r-2") == []


class TestDrawn:
    def test_shows_who_what_when_and_how_long(self) -> None:
        console = Console(width=120)
        with console.capture() as shown:
            console.print(drawn(trace_of(TRACE, request="r-1")))
        text = shown.get()
        [mail] = [line for line in text.splitlines() if "rq-mail" in line]
        assert "    what 4" in mail
        assert "3.0" in mail
        assert "2.0" in mail
        assert mail.index("█") > max(
            line.index("█") for line in text.splitlines() if "what 1" in line
        )


class TestMain:
    def test_draws_what_lies_in_a_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "spans.jsonl").write_text(
            "".join(f"{json.dumps(span)}\n" for span in TRACE) + '{"half'
        )
        assert len(read(tmp_path)) == len(TRACE)
        monkeypatch.setattr(sys, "argv", ["show_trace", "--folder", str(tmp_path)])
        assert main() == 0
        assert "what 4" in capsys.readouterr().out

    def test_says_how_to_have_traces(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["show_trace", "--folder", str(tmp_path), "--request", "r-1"]
        monkeypatch.setattr(sys, "argv", words)
        assert main() == 1
        assert "make up TRACES=1" in capsys.readouterr().err
