"""Traces on a terminal."""

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts.show_trace import (
    BAR_CHARACTERS_MIN,
    KEPT_HERE,
    Span,
    advice,
    drawn,
    main,
    read,
    trace_of,
    wait_for,
)


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
        text = shown_at(120)
        [mail] = [line for line in text.splitlines() if "rq-mail" in line]
        assert "    what 4" in mail
        assert "3.0" in mail
        assert "2.0" in mail
        assert mail.index("█") > max(
            line.index("█") for line in text.splitlines() if "what 1" in line
        )

    def test_says_of_which_request_and_when(self) -> None:
        [head, trace, *_] = shown_at(120).splitlines()
        assert head.rstrip() == "request r-1, 1970-01-01 00:00:00 UTC"
        assert trace.rstrip() == "trace a"

    @pytest.mark.parametrize("width", [80, 100, 140])
    def test_cuts_no_words_and_gives_the_bars_what_is_left(self, width: int) -> None:
        name = "POST /api/v1/prequalification/applications/{application_id}"
        span = a_span("1", kind="server", name=name, resource={"service.name": "emotions-consumer"})
        text = shown_at(width, [span])
        lines = text.splitlines()
        assert max(len(line) for line in lines) == width
        what = "".join(line[22:].split("  ")[0].strip() for line in lines[5:])
        assert what.replace(" ", "") == name.replace(" ", "")
        assert "emotions-consumer" in text
        assert lines[5].count("█") >= BAR_CHARACTERS_MIN


def shown_at(width: int, spans: Sequence[Span] = TRACE) -> str:
    console = Console(width=width)
    with console.capture() as shown:
        console.print(drawn(trace_of(spans, request=None), width=width))
    return shown.get()


class TestWaitFor:
    def test_sees_a_request_that_arrives_late(self, tmp_path: Path) -> None:
        file, line = tmp_path / "spans.jsonl", json.dumps(TRACE[1])
        late = threading.Timer(0.3, file.write_text, [f"{line}\n"])
        late.start()
        assert wait_for(tmp_path, request="r-1")
        late.join()
        assert wait_for(tmp_path, request=None)

    def test_gives_up(self, tmp_path: Path) -> None:
        (tmp_path / "spans.jsonl").write_text(f"{json.dumps(TRACE[1])}\n")
        assert not wait_for(tmp_path, request="r", seconds=0.1)


class TestAdvice:
    @pytest.mark.parametrize(
        ("told", "words"),
        [
            ("", "make up TRACES=1"),
            (KEPT_HERE, "They are being kept"),
            ("http://127.0.0.1:4318", "to http://127.0.0.1:4318: look there"),
        ],
    )
    def test_depends_on_who_is_told(self, told: str, words: str) -> None:
        said = advice("r-1", told=told)
        assert said.startswith("There is no trace of request r-1. ")
        assert words in said
        assert ("TRACES=1" in said) == (not told)


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
