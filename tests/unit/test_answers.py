"""What `make status` reads from /ready."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from scripts.stack import __main__ as command_line
from scripts.stack import answers
from scripts.stack.place import Place
from scripts.stack.supervision import Supervisor

DEGRADED = {"status": "degraded", "dependencies": {"postgresql": "up", "redis": "down"}}


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A server that says what its ``answer`` holds: a status and a body."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = self.server.answer  # type: ignore[attr-defined]  # set by each test
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http
        http.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "read", "code"),
    [
        ((200, '{"status": "ready"}'), "ready", 0),
        ((200, json.dumps(DEGRADED)), "degraded", 1),
        ((503, json.dumps({"status": "unavailable"})), "HTTP 503", 1),
        ((200, "<html>"), "JSONDecodeError", 1),
        ((200, "[]"), "None", 1),
    ],
)
def test_ready_is_read_shown_whole_and_the_exit_code(
    server: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, str],
    read: str,
    code: int,
) -> None:
    server.answer = answer  # type: ignore[attr-defined]  # what it says
    assert answers.readiness(f"http://127.0.0.1:{server.server_port}") == read
    monkeypatch.setattr(Place, "keeper", lambda _: 1)
    monkeypatch.setattr(Supervisor, "states", lambda _: [])
    monkeypatch.setattr(command_line, "recorded_block", lambda _: {"http": server.server_port})
    assert command_line.status([]) == code
    if answer[1].startswith("{"):
        assert answer[1] in capsys.readouterr().out


def test_nobody_there_is_not_ready() -> None:
    assert answers.ready("http://127.0.0.1:1").status == "URLError"


def test_a_stack_that_is_down_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "keeper", lambda _: None)
    assert command_line.status([]) == 3
