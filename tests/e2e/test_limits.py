"""Requests that are too large, too slow or untrue, through Nginx and straight at a process."""

import asyncio
import contextlib
import json
import logging
import re
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.corpora import Issuer, bad_tokens, hostile_json, odd_ids
from tests.e2e.support import API_PROGRAMS, Outside

log = logging.getLogger(__name__)

MEBIBYTE: Final = 1_048_576
CHUNK: Final = b"x" * 65_536
LARGE_BYTES: Final = 60 * MEBIBYTE
GROWTH_BYTES_MAX: Final = 20 * MEBIBYTE
SLOW_SECONDS_MAX: Final = 30
ADDRESS_REQUESTS_MAX: Final = 100
PROBLEM: Final = "application/problem+json"
DOORS: Final = ("http", *API_PROGRAMS[:1])
SAFE: Final = (
    *("x-content-type-options", "content-security-policy", "referrer-policy", "cache-control"),
    "x-request-id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back over a plain connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        assert self.headers["content-type"] == PROBLEM, self
        assert set(SAFE) <= set(self.headers), self.headers
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        code: str = problem["code"]
        return code


@pytest.mark.parametrize("door", DOORS)
class TestALargeBody:
    async def test_that_is_declared_is_refused_unread(self, ecs: Outside, door: str) -> None:
        before = memory_bytes(ecs)
        head = post(f"Content-Length: {LARGE_BYTES}")
        answer = await tell(ecs, door, [head, *[CHUNK] * (LARGE_BYTES // len(CHUNK))])
        assert (answer.status, answer.code) == (413, "payload_too_large")
        assert grown(ecs, before) < GROWTH_BYTES_MAX

    async def test_that_comes_in_chunks_is_cut(self, ecs: Outside, door: str) -> None:
        before = memory_bytes(ecs)
        chunks = [chunked(CHUNK)] * (LARGE_BYTES // len(CHUNK))
        answer = await tell(ecs, door, [post("Transfer-Encoding: chunked"), *chunks, b"0\r\n\r\n"])
        assert (answer.status, answer.code) == (413, "payload_too_large")
        assert grown(ecs, before) < GROWTH_BYTES_MAX

    async def test_of_many_small_chunks_is_read_like_any_other(
        self, ecs: Outside, door: str
    ) -> None:
        chunks = [chunked(b" ")] * 20_000
        answer = await tell(ecs, door, [post("Transfer-Encoding: chunked"), *chunks, b"0\r\n\r\n"])
        assert (answer.status, answer.code) == (400, "malformed_json")


class TestASlowRequest:
    async def test_is_cut_whether_it_drips_or_falls_silent(self, ecs: Outside) -> None:
        started = time.monotonic()
        head = post("Content-Length: 1000")
        answers = await asyncio.gather(
            *(drip(ecs, door, head) for door in DOORS),
            *(tell(ecs, door, [head, b"{"]) for door in DOORS),
        )
        seconds = time.monotonic() - started
        log.info("a byte a second, and silence: 408 after %.1f s", seconds)
        assert {(one.status, one.code) for one in answers} == {(408, "request_timeout")}
        assert seconds < SLOW_SECONDS_MAX

    @pytest.mark.parametrize("door", DOORS)
    async def test_of_a_stranger_is_not_waited_for(self, ecs: Outside, door: str) -> None:
        head = post("Content-Length: 1000", path="/api/v1/credit/apply")
        answer = await tell(ecs, door, [head, b"{"])
        assert (answer.status, answer.code) == (401, "missing_token")


class TestASlowHead:
    async def test_is_cut(self, ecs: Outside) -> None:
        started = time.monotonic()
        head = b"GET /health HTTP/1.1\r\nHost: ecs\r\n" + b"X-Slow: 1\r\n" * 100
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await drip(ecs, "http", b"", dripping=head)
        assert time.monotonic() - started < SLOW_SECONDS_MAX


@pytest.mark.parametrize("door", DOORS)
class TestALargeHead:
    async def test_of_ten_thousand_lines_is_refused(self, ecs: Outside, door: str) -> None:
        answer = await tell(ecs, door, [get("/health", *[f"X-{n}: 1" for n in range(10_000)])])
        assert (answer.status, answer.code) == (431, "request_header_fields_too_large")

    async def test_of_a_hundred_and_one_lines_is_refused(self, ecs: Outside, door: str) -> None:
        answer = await tell(ecs, door, [get("/health", *[f"X-{n}: 1" for n in range(101)])])
        assert (answer.status, answer.code) == (431, "request_header_fields_too_large")

    async def test_of_one_long_line_is_refused(self, ecs: Outside, door: str) -> None:
        answer = await tell(ecs, door, [get("/health", f"X: {'a' * 40_000}")])
        assert (answer.status, answer.code) == (431, "request_header_fields_too_large")

    @pytest.mark.parametrize("address", ["/" + "a" * 9_000, "/health?a=" + "a" * 9_000])
    async def test_with_a_long_address_is_refused(
        self, ecs: Outside, door: str, address: str
    ) -> None:
        answer = await tell(ecs, door, [get(address)])
        assert (answer.status, answer.code) == (414, "uri_too_long")


class TestAnUntrueRequest:
    """What is no HTTP at all, uvicorn answers in its own words; nobody but Nginx asks it."""

    @pytest.mark.parametrize(
        "lines",
        [
            ("Content-Length: 2", "Transfer-Encoding: chunked"),
            ("Content-Length: 2", "Content-Length: 3"),
            ("Content-Length: -1",),
            ("Content-Length: 2x",),
            ("Content-Length: 99999999999999999999",),
            ("Transfer-Encoding: chunked, chunked",),
            ("Transfer-Encoding: gzip",),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("door", DOORS)
    async def test_about_its_length_is_refused(
        self, ecs: Outside, door: str, lines: tuple[str, ...]
    ) -> None:
        answer = await tell(ecs, door, [post(*lines), b"{}"])
        assert answer.status in {400, 413, 501}, answer
        assert door != "http" or answer.code

    @pytest.mark.parametrize("door", DOORS)
    async def test_that_ends_before_its_declared_end_is_forgotten(
        self, ecs: Outside, door: str
    ) -> None:
        _, writer = await connected(ecs, door)
        writer.write(post("Content-Length: 100") + b"{}")
        writer.write_eof()
        writer.close()
        await writer.wait_closed()
        assert (await ecs.http.get("/health")).status_code == 200

    @pytest.mark.parametrize("door", DOORS)
    async def test_that_goes_on_behind_its_declared_end_smuggles_nothing(
        self, ecs: Outside, door: str
    ) -> None:
        smuggled = get("/api/v1/users/me").decode()
        answer = await tell(ecs, door, [post("Content-Length: 2"), b"{}" + smuggled.encode()])
        assert (answer.status, answer.code) == (422, "validation_failed")


class TestCorporaThroughNginx:
    async def test_bad_tokens_get_one_answer_and_cost_no_memory(self, ecs: Outside) -> None:
        issuer = await issuer_like(ecs)
        tokens = bad_tokens(issuer)
        del tokens["leading blank"], tokens["trailing newline"]  # No part of a header's value.
        tokens["6 kB of brackets"] = "[" * 6_000
        before, answers = memory_bytes(ecs), Counter[tuple[int, str]]()
        for token in tokens.values():
            raw = b"Bearer " + token.encode()
            head = b"GET /api/v1/users/me HTTP/1.1\r\nHost: ecs\r\nAuthorization: " + raw
            answer = await tell(ecs, "http", [head + b"\r\nConnection: close\r\n\r\n"])
            answers[answer.status, answer.code] += 1
        log.info("bad tokens through Nginx: %s", dict(answers))
        # Nginx itself refuses the NUL in a header.
        assert answers.pop((400, "bad_request")) == 1
        assert set(answers) == {(401, "invalid_token")}
        assert grown(ecs, before) < MEBIBYTE * 2

    async def test_hostile_json_is_malformed(self, ecs: Outside) -> None:
        headers = ecs.client_headers | {"Content-Type": "application/json"}
        answers = [
            await ecs.http.post("/api/v1/emotions/ingest", content=body, headers=headers)
            for body in hostile_json().values()
        ]
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
            (400, "malformed_json")
        }

    async def test_nothing_is_found_at_an_odd_id(self, ecs: Outside) -> None:
        person = await ecs.someone()
        authorization = f"Authorization: {person.headers['Authorization']}"
        statuses = Counter[int]()
        for path in ("/api/v1/credit/offers/{}", "/api/v1/jobs/{}"):
            for segment in odd_ids().values():
                answer = await tell(ecs, "http", [get(path.format(segment), authorization)])
                statuses[answer.status] += 1
                assert answer.code in {"not_found", "bad_request"}, segment
        log.info("odd ids through Nginx: %s", dict(statuses))
        assert set(statuses) <= {400, 404}


class TestManyConnections:
    async def test_of_one_address_are_limited_unless_it_is_this_machine(self, ecs: Outside) -> None:
        head = post("Content-Length: 100")
        waiting = {
            asyncio.create_task(tell(ecs, "http", [head, b"{"], source="127.0.0.9"))
            for _ in range(ADDRESS_REQUESTS_MAX + 10)
        }
        refused: set[asyncio.Task[Answer]] = set()
        while len(refused) < 10:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            refused |= done
        assert {(task.result().status, task.result().code) for task in refused} == {
            (429, "too_many_requests")
        }
        answer = await tell(ecs, "http", [get("/health")])
        assert (answer.status, len(waiting)) == (200, ADDRESS_REQUESTS_MAX)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class TestWhenNobodyAnswers:
    async def test_frozen_processes_are_a_504(self, ecs: Outside) -> None:
        for program in API_PROGRAMS:
            ecs.stack.kill(program, signal.SIGSTOP)
        try:
            started = time.monotonic()
            answer = await tell(ecs, "http", [get("/health")])
            log.info("both frozen: %s after %.1f s", answer.status, time.monotonic() - started)
        finally:
            for program in API_PROGRAMS:
                ecs.stack.kill(program, signal.SIGCONT)
        assert (answer.status, answer.code) == (504, "upstream_timeout")
        assert answer.headers["retry-after"] == "1"
        assert time.monotonic() - started < SLOW_SECONDS_MAX


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/openapi.json", "/health", "/none"])
@pytest.mark.parametrize("door", DOORS)
async def test_every_answer_carries_the_safe_headers(ecs: Outside, door: str, path: str) -> None:
    answer = await tell(ecs, door, [get(path)])
    assert set(SAFE) <= set(answer.headers)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"nginx/|uvicorn", answer.headers.get("server", ""))


@pytest.mark.parametrize(
    "path", ["/api/v1/prequalification/applications", "/nowhere"], ids=["401", "404"]
)
async def test_a_refusal_ahead_of_the_body_leaves_the_connection_usable(
    ecs: Outside, path: str
) -> None:
    reader, writer = await connected(ecs, "http")
    for _ in range(30):
        writer.write(post("Content-Length: 2", path=path))
        await writer.drain()
        await asyncio.sleep(0.01)  # The gap is the point: most clients send the body by itself.
        writer.write(b"{}")
        assert (await _read(reader)).status in {401, 404}
        writer.write(_head("GET", "/health"))
        assert (await _read(reader)).status == 200
    writer.close()


def get(path: str, *lines: str) -> bytes:
    return _head("GET", path, *lines, "Connection: close")


def post(*lines: str, path: str = "/api/v1/users") -> bytes:
    return _head("POST", path, "Content-Type: application/json", *lines)


def _head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: ecs", *lines, "", ""]).encode()


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def connected(
    ecs: Outside, door: str, source: str = "127.0.0.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = ecs.stack.layout.ports[door]
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def tell(
    ecs: Outside, door: str, parts: Iterable[bytes], source: str = "127.0.0.1"
) -> Answer:
    """Send these bytes, whatever they are, and read the first answer."""
    reader, writer = await connected(ecs, door, source)
    sending = asyncio.create_task(_send(writer, parts))
    try:
        return await _read(reader)
    finally:
        sending.cancel()
        writer.transport.abort()


async def drip(ecs: Outside, door: str, head: bytes, *, dripping: bytes = b"x" * 1000) -> Answer:
    """Send a byte a second: slowness is the point."""
    reader, writer = await connected(ecs, door)
    writer.write(head)
    answer = asyncio.create_task(_read(reader))
    try:
        for byte in dripping:
            writer.write(bytes([byte]))
            if (await asyncio.wait({answer}, timeout=1))[0]:
                break
        return await answer
    finally:
        answer.cancel()
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, parts: Iterable[bytes]) -> None:
    with contextlib.suppress(ConnectionError):  # Refused before all was sent.
        for part in parts:
            writer.write(part)
            await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    values = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in head[1:] if line}
    size = int(headers.get("content-length", 0))
    return Answer(
        status=int(head[0].split()[1]), headers=values, body=await reader.readexactly(size)
    )


def memory_bytes(ecs: Outside) -> dict[str, int]:
    """Return the resident memory of each API process."""
    return {program: _memory_bytes(ecs.stack.pid(program)) for program in API_PROGRAMS}


def _memory_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def grown(ecs: Outside, before: dict[str, int]) -> int:
    """Return by how much the process that grew most has grown."""
    after = memory_bytes(ecs)
    growth = max(after[program] - before[program] for program in API_PROGRAMS)
    log.info("memory grew by %.1f MiB", growth / MEBIBYTE)
    return growth


async def issuer_like(ecs: Outside) -> Issuer:
    env: dict[str, Any] = ecs.stack.env
    return Issuer(
        secret=env["JWT_SECRET"],
        kid="1",
        issuer=env["JWT_ISSUER"],
        audience=env["JWT_AUDIENCE"],
        subject=str((await ecs.someone()).id),
        now=int(datetime.now(UTC).timestamp()),
    )
