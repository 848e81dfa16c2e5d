"""What a container's health check looks at."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from scripts import healthy
from scripts.stack.place import CHECKOUT

# One established connection to port 5432 (1538), one that waits to 6379 (18EB), one listener.
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0200A8C0:9C40 0300A8C0:1538 01 00000000:00000000 02:0000 00000000 10001        0 1 2
   1: 0200A8C0:9C41 0400A8C0:18EB 06 00000000:00000000 02:0000 00000000 10001        0 2 2
   2: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:0000 00000000 10001        0 3 1
"""


class Answering(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        pass


class Failing(Answering):
    status = 503


@pytest.fixture(params=[Answering, Failing])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    """A server's port, and whether it is well."""
    with HTTPServer(("127.0.0.1", 0), request.param) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http.server_port, request.param is Answering
        http.shutdown()
        thread.join()


def test_a_server_is_well_when_it_says_200(server: tuple[int, bool]) -> None:
    port, is_well = server
    assert healthy.answers(port) is is_well


def test_a_silent_port_is_not_well() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        assert not healthy.answers(taken.getsockname()[1])


def test_only_connections_that_stand_count(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(TABLE)
    assert healthy.remote_ports(table) == {5432}


def test_the_kernels_own_table_is_understood() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert port not in healthy.connected_ports()
        with socket.create_connection(("127.0.0.1", port)):
            assert port in healthy.connected_ports()


@pytest.mark.parametrize("question", [["--answers", "1"], ["--connected-to", "1"]])
def test_what_is_ill_is_said_and_is_the_exit_code(question: list[str]) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "scripts.healthy", *question],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 1
    assert asked.stderr.strip().endswith(" 1")
