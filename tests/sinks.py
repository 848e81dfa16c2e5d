"""Collectors of a test: what takes traces, and what takes reports of errors, on a free port."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from ecs.integrations.telemetry.tracing import OpenTelemetryTraces
from scripts.stack.trace_sink import Collector

PATIENCE_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.02


@dataclass(slots=True, kw_only=True)
class Taken:
    """What a collector was sent so far."""

    url: str
    items: list[dict[str, Any]] = field(default_factory=list)

    def until(
        self, enough: Callable[[list[dict[str, Any]]], bool], *, seconds: float = PATIENCE_SECONDS
    ) -> list[dict[str, Any]]:
        """Wait until what came is enough. By looking: it comes from other processes."""
        deadline = time.monotonic() + seconds
        while not enough(self.items):
            names = [item.get("name") or item.get("message") for item in self.items]
            assert time.monotonic() < deadline, f"only these came: {names}"
            time.sleep(POLL_SECONDS)
        return list(self.items)


@contextmanager
def trace_collector(*, port: int = 0) -> Iterator[Taken]:
    """A collector of traces; ``items`` are spans as ``scripts.stack.trace_sink`` writes them."""
    taken = Taken(url="")
    server = Collector(port=port, store=taken.items.extend)
    taken.url = f"http://127.0.0.1:{server.server_address[1]}"
    with _serving(server):
        yield taken


@contextmanager
def report_collector() -> Iterator[Taken]:
    """A Sentry that takes reports; its ``url`` is the project's DSN, ``items`` are events."""
    taken = Taken(url="")

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            taken.items.extend(_events_of(body))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    taken.url = f"http://public@127.0.0.1:{server.server_address[1]}/1"
    with _serving(server):
        yield taken


def _events_of(envelope: bytes) -> Iterator[dict[str, Any]]:
    """The events of an envelope: a line about it, then a line about each item, and the item."""
    _, *lines = envelope.split(b"\n")
    for head, body in zip(lines[::2], lines[1::2], strict=False):
        assert json.loads(head)["type"] == "event", head  # Nothing else is ever sent.
        yield json.loads(body)


@contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def tracing_to(url: str) -> Iterator[OpenTelemetryTraces]:
    """Traces that are sent to a collector; their thread ends with the block."""
    traces = OpenTelemetryTraces(url, service="test", environment="testing", version="1.2.3")
    yield traces
    traces.provider.shutdown()
