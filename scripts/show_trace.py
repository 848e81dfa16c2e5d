"""
Draw a trace that the stack has kept: ``python -m scripts.show_trace [--request ID]``.

Reads ``.stack/traces``, which ``make up TRACES=1`` fills. Without a request it is the newest trace
that began with one.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scripts.stack.place import Place

FOLDER: Final = Path(".stack/traces")
FILES: Final = "*.jsonl"
KEPT_HERE: Final = "1"
# Spans are sent each second.
ARRIVAL_SECONDS_MAX: Final = 3.0
POLL_SECONDS: Final = 0.2
WIDTH_MAX: Final = 10_000
BAR_CHARACTERS_MIN: Final = 10
BAR_CHARACTERS_MAX: Final = 60
NS_PER_MS: Final = 1_000_000
NS_PER_SECOND: Final = 1_000_000_000
LOOK_AT: Final = (
    "is that the X-Request-ID of an answer since the stack was started? /health and /ready have "
    "none, nor has what Nginx answered by itself. `make status` says whether trace-sink runs."
)

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
    told = who_is_told(words.folder)
    if told == KEPT_HERE:
        wait_for(words.folder, request=words.request)
    trace = trace_of(read(words.folder), request=words.request)
    if not trace:
        print(advice(words.request, told=told), file=sys.stderr)  # noqa: T201  (what the user waits for)
        return 1
    console = Console()
    console.print(drawn(trace, width=console.width))
    return 0


def who_is_told(folder: Path) -> str:
    """Return whom the running stack tells of traces: ``1`` is this folder, nothing is nobody."""
    place = Place.of_checkout()
    if folder.resolve() != place.traces.resolve() or not place.keeper():
        return ""
    return place.watching().traces


def wait_for(folder: Path, *, request: str | None, seconds: float = ARRIVAL_SECONDS_MAX) -> bool:
    """Wait for the span of a request, or of any request; return whether it came."""
    wanted = f'"ecs.request_id": {json.dumps(request)}' if request else '"kind": "server"'
    deadline = time.monotonic() + seconds
    # A process of its own writes the files, so there is nothing to be woken by.
    while not any(wanted in _whole_lines(file) for file in folder.glob(FILES)):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def read(folder: Path) -> list[Span]:
    """Return every span that is kept; a line that is still being written is left out."""
    spans: list[Span] = []
    for file in sorted(folder.glob(FILES)):
        spans += [json.loads(line) for line in _whole_lines(file).splitlines()]
    return spans


def trace_of(spans: Sequence[Span], *, request: str | None) -> list[Line]:
    """Return a trace in the order in which one thing followed from another."""
    chosen = [span for span in spans if _is_wanted(span, request)]
    if not chosen:
        return []
    newest = max(chosen, key=lambda span: int(span["start_ns"]))["trace_id"]
    return [*_below(None, [span for span in spans if span["trace_id"] == newest], depth=0)]


def drawn(trace: Sequence[Line], *, width: int) -> Table:
    """Return a trace as a table with a bar for each span: the bars get what the words leave."""
    narrowest = _table(trace, bar_characters=BAR_CHARACTERS_MIN)
    left = width - Console(width=WIDTH_MAX).measure(narrowest).maximum
    wanted = min(max(BAR_CHARACTERS_MIN + left, BAR_CHARACTERS_MIN), BAR_CHARACTERS_MAX)
    return _table(trace, bar_characters=wanted)


def _whole_lines(file: Path) -> str:
    return file.read_text().rpartition("\n")[0]


def _table(trace: Sequence[Line], *, bar_characters: int) -> Table:
    first = min(line.span["start_ns"] for line in trace)
    whole = max(max(line.span["end_ns"] for line in trace) - first, 1)
    table = Table(box=SIMPLE_HEAD, title=_title(trace, first), title_justify="left")
    table.add_column("service", overflow="fold")
    table.add_column("what", overflow="fold")
    for name in ("starts ms", "takes ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, width=bar_characters)
    for line in trace:
        span, begins = line.span, line.span["start_ns"] - first
        takes = span["end_ns"] - span["start_ns"]
        what = Text(span["name"], style="red" if span["failed"] else "")
        table.add_row(
            str(span["resource"].get("service.name", "")).removeprefix("ecs-"),
            Padding(what, (0, 0, 0, 2 * line.depth)),
            f"{begins / NS_PER_MS:.1f}",
            f"{takes / NS_PER_MS:.1f}",
            _bar(begins / whole, takes / whole, characters=bar_characters),
        )
    return table


def _title(trace: Sequence[Line], began_ns: int) -> str:
    requests = (line.span["attributes"].get("ecs.request_id") for line in trace)
    request = next((one for one in requests if one), "unknown")
    began = datetime.fromtimestamp(began_ns // NS_PER_SECOND, UTC)
    return escape(
        f"request {request}, {began:%Y-%m-%d %H:%M:%S} UTC\ntrace {trace[0].span['trace_id']}"
    )


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


def advice(request: str | None, *, told: str) -> str:
    """Return what to do when there is no trace, which depends on who is told of traces."""
    missing = f"There is no trace of request {request}." if request else "There is no trace yet."
    if not told:
        return f"{missing} Traces are kept after: make up TRACES=1"
    if told != KEPT_HERE:
        return f"{missing} The stack sends its traces to {told}: look there."
    return f"{missing} They are being kept: {LOOK_AT}"


if __name__ == "__main__":
    sys.exit(main())
