"""A collector of traces that sends them nowhere: each span becomes a line of a file."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH: Final = "/v1/traces"
OK: Final = 200
BODY_BYTES_MAX: Final = 16 * 1024 * 1024
FILE_BYTES_MAX: Final = 32 * 1024 * 1024
FILE: Final = "spans.jsonl"
OLDER: Final = "spans.1.jsonl"
KINDS: Final = ("", "internal", "server", "client", "producer", "consumer")

Spans = list[dict[str, Any]]


class TraceFolder:
    """Keeps the newest spans: one file that grows, and the one before it."""

    def __init__(self, folder: Path, *, bytes_max: int = FILE_BYTES_MAX) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._alone = threading.Lock()

    def store(self, spans: Spans) -> None:
        """Write spans, a line each."""
        lines = "".join(f"{json.dumps(span)}\n" for span in spans)
        file = self._folder / FILE
        with self._alone:
            file.touch(mode=0o600)
            if file.stat().st_size > self._bytes_max:
                file.replace(self._folder / OLDER)
                file.touch(mode=0o600)
            with file.open("a") as growing:
                growing.write(lines)


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP on a port of this machine and gives the spans to ``store``."""

    daemon_threads = True

    def __init__(self, *, port: int, store: Callable[[Spans], None]) -> None:
        super().__init__(("127.0.0.1", port), Receiver)
        self.store = store


class Receiver(BaseHTTPRequestHandler):
    """One connection of somebody who sends spans."""

    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        """Take one export."""
        status = self._take(int(self.headers.get("Content-Length") or 0))
        self.close_connection = status != OK
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
        """Say nothing of what goes well."""

    def _take(self, length: int) -> int:
        if self.path != PATH:
            return 404
        if length > BODY_BYTES_MAX:
            return 413
        try:
            spans = spans_of(self.rfile.read(length))
        except DecodeError:
            return 400
        self.server.store(spans)
        return OK


def spans_of(body: bytes) -> Spans:
    """
    Return the spans that an export holds.

    Raises:
        DecodeError: it is no export.
    """
    return [*_spans_of(ExportTraceServiceRequest.FromString(body))]


def main() -> None:
    """Read the port and the folder from the command line, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    words = parser.parse_args()
    words.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    Collector(port=words.port, store=TraceFolder(words.folder).store).serve_forever()


def _spans_of(export: ExportTraceServiceRequest) -> Iterator[dict[str, Any]]:
    for source in export.resource_spans:
        resource = {one.key: _value(one.value) for one in source.resource.attributes}
        for scope in source.scope_spans:
            for span in scope.spans:
                yield {"resource": resource, **_as_dictionary(span)}


def _as_dictionary(span: Span) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() or None,
        "trace_state": span.trace_state,
        "name": span.name,
        "kind": KINDS[span.kind],
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "failed": span.status.code == span.status.STATUS_CODE_ERROR,
        "message": span.status.message,
        "attributes": {one.key: _value(one.value) for one in span.attributes},
        "events": [
            {"name": event.name, **{one.key: _value(one.value) for one in event.attributes}}
            for event in span.events
        ],
        "links": [
            {"trace_id": one.trace_id.hex(), "span_id": one.span_id.hex()} for one in span.links
        ],
    }


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else _plain(getattr(value, kind))


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else str(value)


if __name__ == "__main__":
    main()
