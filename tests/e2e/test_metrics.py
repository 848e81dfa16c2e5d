"""Measures and traces at the door: what is for Prometheus alone is at no address from outside."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scripts.stack import Stack, answers, system
from scripts.stack.place import CHECKOUT
from tests.e2e.support import API_PROGRAMS, Outside
from tests.e2e.test_limits import tell

# Addresses as a client writes them. Nginx itself reads /metrics out of the first.
TIDIED_UP: Final = (
    *("/metrics", "/%6detrics", "/%6D%65%74%72%69%63%73", "//metrics", "///metrics"),
    *("/./metrics", "/x/../metrics", "/x/%2e%2e/metrics", "/metrics/x/..%2f../metrics"),
    *("/metrics?x=1", "/metrics?", "/%2fmetrics", "/api/v1/../../metrics", "http://ecs/metrics"),
    "http://ecs//metrics",
)
SPELLINGS: Final = (
    *TIDIED_UP,
    *("/metrics/", "/metrics//", "/METRICS", "/metrics;x", "/metrics%20", "/metrics%2f"),
    *("/metrics/.", "/metrics/x/..", "/metrics%23", "/metrics%3f", "/%252e/metrics", "/\\metrics"),
)
OF_A_STRANGER: Final = {
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    "Tracestate": "theirs=1",
    "BAGGAGE": "user=1",
    "X-Kept": "yes",
}
NGINX: Final = """daemon off;
{user}worker_processes 1;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{}}
http {{
    include "{shared}/http.conf";
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream api {{
        server 127.0.0.1:{upstream};
    }}
    server {{
        listen 127.0.0.1:{port};
        include "{shared}/server.conf";
    }}
}}
"""


def request(method: str, target: str) -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: ecs\r\nConnection: close\r\n"
    body = "Content-Length: 2\r\n\r\n{}" if method == "POST" else "\r\n"
    return (head + body).encode()


class TestMetricsOfTheApi:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_are_nowhere_behind_nginx(self, ecs: Outside, method: str) -> None:
        found = {target: await tell(ecs, "http", [request(method, target)]) for target in SPELLINGS}

        assert {target: (one.status, one.code) for target, one in found.items()} == dict.fromkeys(
            SPELLINGS, (404, "not_found")
        )
        assert not [target for target, one in found.items() if b"ecs_http" in one.body]

    async def test_cannot_be_had_by_a_lie_about_the_proxy(self, ecs: Outside) -> None:
        for header in ("X-Forwarded-For:", "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"):
            head = f"GET /METRICS/../metrics HTTP/1.1\r\nHost: ecs\r\n{header}\r\n\r\n"

            assert (await tell(ecs, "http", [head.encode()])).status == 404

    @pytest.mark.parametrize("program", API_PROGRAMS)
    async def test_are_shown_by_each_instance_on_its_own_port(
        self, ecs: Outside, program: str
    ) -> None:
        await tell(ecs, program, [request("GET", "/health")])
        shown = await tell(ecs, program, [request("GET", "/metrics")])
        families = {
            family.name: family for family in text_string_to_metric_families(shown.body.decode())
        }

        assert shown.status == 200
        (information,) = families["ecs_info"].samples
        assert information.labels["service"] == "api"
        counts = {
            sample.labels["route"]: sample.value
            for sample in families["ecs_http_request_duration_seconds"].samples
            if sample.name.endswith("_count") and sample.labels["status"] == "200"
        }
        assert counts["/health"] >= 1
        assert "/metrics" not in counts

    async def test_count_a_decision_where_it_was_made(self, ecs: Outside) -> None:
        before = await decisions(ecs)
        await ecs.an_offer()

        assert await decisions(ecs) >= before + 1


async def decisions(ecs: Outside) -> float:
    """Return how many decisions the instances have counted together."""
    shown = [await tell(ecs, program, [request("GET", "/metrics")]) for program in API_PROGRAMS]
    return sum(
        sample.value
        for answer in shown
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
        if sample.name == "ecs_credit_decisions_total"
    )


class TestNginx:
    async def test_passes_nothing_on_that_tidied_up_is_metrics(
        self, stack: Stack, tmp_path: Path
    ) -> None:
        async with behind_nginx(tmp_path) as (port, heads):
            found = [await asyncio.to_thread(status_of, port, path) for path in TIDIED_UP]
            assert await asyncio.to_thread(status_of, port, "/health") == 204

        assert (found, len(heads)) == ([404] * len(TIDIED_UP), 1)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_ends_the_trace_of_a_stranger(
        self, stack: Stack, tmp_path: Path, method: str
    ) -> None:
        async with behind_nginx(tmp_path) as (port, heads), httpx.AsyncClient() as client:
            for path in ("/health", "/api/v1/credit/apply", "/api/v1/credit/offers/1/accept"):
                url = f"http://127.0.0.1:{port}{path}"
                assert (await client.request(method, url, headers=OF_A_STRANGER)).is_success

        assert len(heads) == 3
        for head in heads:
            assert b"x-kept: yes" in head.lower()
            assert b"x-forwarded-for: 127.0.0.1" in head.lower()
            for name in (b"traceparent", b"tracestate", b"baggage"):
                assert name not in head.lower()


def status_of(port: int, target: str) -> int:
    """Ask for exactly this target: other clients tidy it up themselves."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", target)
    status = connection.getresponse().status
    connection.close()
    return status


@asynccontextmanager
async def behind_nginx(folder: Path) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Stand where the API stands; give the port of Nginx, and every head that it passes on."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as upstream:
        (listening,) = upstream.sockets
        with running_nginx(folder, upstream=listening.getsockname()[1]) as port:
            yield port, heads


@contextmanager
def running_nginx(folder: Path, *, upstream: int) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file, nginx = folder / "nginx.conf", system.find("nginx")
    assert nginx is not None
    file.write_text(
        NGINX.format(
            user="user root;\n" if os.getuid() == 0 else "",
            folder=folder,
            shared=CHECKOUT / "nginx",
            upstream=upstream,
            port=port,
        )
    )
    command = [nginx, "-e", "stderr", "-p", str(folder), "-c", str(file)]
    with subprocess.Popen(command) as process:
        try:
            answers.wait_until(lambda: answers.listens(port), seconds=30, what="An answer of Nginx")
            yield port
        finally:
            process.terminate()
