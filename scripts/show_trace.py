"""
Draw a trace that the stack has kept: ``python -m scripts.show_trace [--request ID]``.

Reads ``.stack/traces``, which ``make up TRACES=1`` fills. Without a request it is the newest trace
that began with one.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

FOLDER: Final = Path(".stack/traces")
WIDTH: Final = 120
TEXT_CHARACTERS: Final = 80
NS_PER_MS: Final = 1_000_000

Span = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A span where it belongs in its trace, and how deep."""

    span: Span
    depth: int


def main() -> int:
    """Draw the trace that was asked for; the exit code is 1 when there is none."""
    parser = argparse.ArgumentParser(prog="python -m scripts.show_trace", description=__doc__)
    parser.add_argument("--request", help="the X-Request-ID of an answer")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    words = parser.parse_args()
    trace = trace_of(read(words.folder), request=words.request)
    if not trace:
        print(_advice(words.request), file=sys.stderr)  # noqa: T201  (what the user waits for)
        return 1
    # A pipe has no width of its own.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(drawn(trace, bar_characters=max(console.width - TEXT_CHARACTERS, 10)))
    return 0


def read(folder: Path) -> list[Span]:
    """Return every span that is kept; a line that is still being written is left out."""
    spans: list[Span] = []
    for file in sorted(folder.glob("*.jsonl")):
        whole, _, _ = file.read_text().rpartition("\n")
        spans += [json.loads(line) for line in whole.splitlines()]
    return spans


def trace_of(spans: Sequence[Span], *, request: str | None) -> list[Line]:
    """Return a trace in the order in which one thing followed from another."""
    chosen = [span for span in spans if _is_wanted(span, request)]
    if not chosen:
        return []
    newest = max(chosen, key=lambda span: int(span["start_ns"]))["trace_id"]
    return [*_below(None, [span for span in spans if span["trace_id"] == newest], depth=0)]


def drawn(trace: Sequence[Line], *, bar_characters: int = WIDTH - TEXT_CHARACTERS) -> Table:
    """Return a trace as a table with a bar for each span."""
    first = min(line.span["start_ns"] for line in trace)
    whole = max(max(line.span["end_ns"] for line in trace) - first, 1)
    table = Table(box=SIMPLE_HEAD, title=f"trace {trace[0].span['trace_id']}", title_justify="left")
    table.add_column("service", no_wrap=True)
    table.add_column("what", overflow="ellipsis", no_wrap=True)
    for name in ("starts ms", "takes ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=bar_characters)
    for line in trace:
        span, begins = line.span, line.span["start_ns"] - first
        takes = span["end_ns"] - span["start_ns"]
        table.add_row(
            str(span["resource"].get("service.name", "")).removeprefix("ecs-"),
            Text("  " * line.depth + span["name"], style="red" if span["failed"] else ""),
            f"{begins / NS_PER_MS:.1f}",
            f"{takes / NS_PER_MS:.1f}",
            _bar(begins / whole, takes / whole, characters=bar_characters),
        )
    return table


def _is_wanted(span: Span, request: str | None) -> bool:
    if request is not None:
        return str(span["attributes"].get("ecs.request_id")) == request
    return str(span["kind"]) == "server"


def _below(parent_id: str | None, spans: Sequence[Span], *, depth: int) -> Iterator[Line]:
    """Walk down the tree; whoever's parent is not there stands at the top."""
    known = {span["span_id"] for span in spans}
    children = [
        span
        for span in spans
        if span["parent_id"] == parent_id or (parent_id is None and span["parent_id"] not in known)
    ]
    for child in sorted(children, key=lambda span: int(span["start_ns"])):
        yield Line(span=child, depth=depth)
        yield from _below(child["span_id"], spans, depth=depth + 1)


def _bar(begins: float, takes: float, *, characters: int) -> str:
    before = min(int(begins * characters), characters - 1)
    length = max(round(takes * characters), 1)
    return " " * before + "█" * min(length, characters - before)


def _advice(request: str | None) -> str:
    what = f"a trace of request {request}" if request else "a trace"
    return f"There is no {what.removeprefix('a ')}. Traces are kept after: make up TRACES=1"


if __name__ == "__main__":
    sys.exit(main())
