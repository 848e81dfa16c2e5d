"""The native stack itself: it lives, heals, remembers and leaves nothing behind."""

import json
import re
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from scripts.stack import EVERYTHING, SERVICES_ONLY, Stack, answers
from scripts.stack.__main__ import status_of
from scripts.stack.errors import AlreadyRunning
from scripts.stack.place import CHECKOUT, Place, user_folder
from scripts.stack.ports import is_free
from scripts.stack.processes import members
from scripts.stack.programs import MONITORING_NAMES

SERVICES = ("postgres", "redis", "epmd", "rabbitmq")
# It occurs nowhere else.
PAN = "QWEPX7351Z"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def kept_place() -> Iterator[Place]:
    """A place that survives its stack, removed with the test."""
    home = user_folder() / f"kept-{uuid4().hex[:8]}"
    yield Place(home=home, throwaway=False)
    Place(home=home, throwaway=True).remove()


class TestRunning:
    def test_runs_every_program(self, stack: Stack) -> None:
        states = {state.name: state.state for state in stack.states()}
        assert {states.pop(name) for name in MONITORING_NAMES} == {"STOPPED"}
        assert set(states) == set(EVERYTHING)
        assert set(states.values()) == {"RUNNING"}

    def test_is_ready_through_nginx(self, stack: Stack) -> None:
        answer = httpx.get(f"{stack.url}/ready")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready")

    def test_is_asked_directly_whatever_proxy_the_caller_has(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert answers.readiness(stack.url) == "ready"

    def test_spares_a_reader_of_its_logs(self, stack: Stack) -> None:
        with subprocess.Popen(["sleep", "60"], cwd=stack.place.logs) as reader:
            assert reader.pid not in stack.members()
            reader.kill()

    def test_listens_on_loopback_only(self, stack: Stack) -> None:
        ports = {
            stack.layout.ports[name] for name in ("http", "api-1", "postgres", "redis", "amqp")
        }
        assert listening_addresses(ports) == {port: {"127.0.0.1"} for port in ports}

    def test_leaves_its_address_settings_and_logins(self, stack: Stack) -> None:
        assert (stack.public / "url").read_text().strip() == stack.url
        words = shlex.split((stack.public / "env").read_text())
        assert dict(word.split("=", 1) for word in words) == stack.env
        logins = json.loads((stack.public / "demo.json").read_text())
        assert logins["users"]
        assert logins["clients"]

    @pytest.mark.parametrize("name", ["url", "env", "demo.json"])
    def test_keeps_what_it_leaves_private(self, stack: Stack, name: str) -> None:
        assert mode_of(stack.public) == 0o700
        assert mode_of(stack.public / name) == 0o600

    def test_keeps_its_secrets_private(self, stack: Stack) -> None:
        assert mode_of(stack.place.home) == 0o711
        assert mode_of(stack.place.home / "secrets.json") == 0o600

    def test_refuses_a_second_start(self, stack: Stack) -> None:
        with pytest.raises(AlreadyRunning, match="already running"):
            Stack(place=stack.place).start()

    def test_starts_programs_from_a_clean_environment(self, stack: Stack) -> None:
        environment = Path(f"/proc/{stack.pid('api-1')}/environ").read_text().split("\0")
        assert f"STACK_ID={stack.place.stack_id}" in environment
        assert not [variable for variable in environment if variable.startswith("PYTEST_")]


class TestHealing:
    @pytest.mark.parametrize("program", EVERYTHING)
    def test_restarts_what_was_killed(self, stack: Stack, program: str) -> None:
        killed = stack.kill(program, signal.SIGKILL)
        assert stack.wait_for_restart(program, old_pid=killed) != killed
        stack.wait_until_ready()

    def test_keeps_a_stopped_program_stopped_until_it_is_started(
        self, stack: Stack, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stack.stop_program("api-2")
        assert status_of(stack.place) == 1
        assert "Not running: api-2." in capsys.readouterr().out
        assert stack.pid("api-2") == 0
        assert httpx.get(f"{stack.url}/ready").status_code == 200
        stack.start_program("api-2")
        assert stack.pid("api-2")
        stack.wait_until_ready()
        assert status_of(stack.place) == 0


class TestOwnErrors:
    def test_refuses_a_large_body_as_a_problem(self, stack: Stack) -> None:
        answer = httpx.post(
            f"{stack.url}/token?secret=1",
            content=b"x" * (1024 * 1024 + 1),
            headers={"X-Request-ID": "from-the-client.1"},
        )
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == "from-the-client.1"
        assert answer.json() == {
            "type": "urn:ecs:problem:payload_too_large",
            "title": "Content Too Large",
            "status": 413,
            "detail": "The body is larger than 1 MiB.",
            "instance": "/token",
            "code": "payload_too_large",
            "request_id": "from-the-client.1",
            "errors": [],
        }

    @pytest.mark.parametrize("request_id", [PAN, f"from.{PAN.lower()}-1"])
    @pytest.mark.parametrize(
        "path", [f"/token/{PAN}", f"/{PAN.lower()}.json?a=1", f"/%20{PAN}", f"/%51{PAN[1:]}"]
    )
    def test_repeats_no_pan(self, stack: Stack, path: str, request_id: str) -> None:
        answer = httpx.post(
            f"{stack.url}{path}",
            content=b"x" * (1024 * 1024 + 1),
            headers={"X-Request-ID": request_id},
        )
        assert answer.json()["code"] == "payload_too_large"
        assert "instance" not in answer.json()
        ours, log = answer.headers["x-request-id"], stack.place.logs / "nginx.log"
        assert re.fullmatch(r"[0-9a-f]{32}", ours)
        answers.wait_until(lambda: ours in log.read_text(), seconds=5, what="Its line in the log")
        for place in (answer.text, str(answer.headers), log.read_text()):
            assert PAN[1:] not in place.upper()

    def test_repeats_what_only_contains_the_form_of_one(self, stack: Stack) -> None:
        longer = "aQWEPX7351Y"
        answer = httpx.post(
            f"{stack.url}/{longer}",
            content=b"x" * (1024 * 1024 + 1),
            headers={"X-Request-ID": longer},
        )
        problem = answer.json()
        assert (problem["instance"], problem["request_id"]) == (f"/{longer}", longer)

    @pytest.mark.parametrize("odd", ["", "a b", "x" * 129, 'quote"', "line;"])
    def test_replaces_a_malformed_request_id(self, stack: Stack, odd: str) -> None:
        answer = httpx.get(f"{stack.url}/health", headers={"X-Request-ID": odd})
        assert answer.headers["x-request-id"] != odd
        assert len(answer.headers["x-request-id"]) == 32

    @pytest.mark.parametrize(
        ("method", "path", "headers", "status", "code"),
        [
            ("TRACE", "/health", {}, 405, "method_not_allowed"),
            ("GET", "/" + "a" * 9000, {}, 414, "uri_too_long"),
            ("GET", "/health", {"X": "a" * 9000}, 431, "request_header_fields_too_large"),
            ("GET", "/health", {"Host": "a b"}, 400, "bad_request"),
        ],
        ids=["method", "address", "headers", "malformed"],
    )
    def test_speaks_problem_json(
        self,
        stack: Stack,
        method: str,
        path: str,
        headers: dict[str, str],
        status: int,
        code: str,
    ) -> None:
        answer = httpx.request(method, stack.url + path, headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]

    def test_says_that_no_instance_is_there(self, stack: Stack) -> None:
        for program in ("api-1", "api-2"):
            stack.stop_program(program)
        try:
            answer = httpx.get(f"{stack.url}/health")
        finally:
            for program in ("api-1", "api-2"):
                stack.start_program(program)
        assert (answer.status_code, answer.json()["code"]) == (502, "bad_gateway")
        assert answer.headers["retry-after"] == "1"


class TestStopping:
    def test_leaves_no_process_and_no_data(self) -> None:
        stack = Stack(parts=SERVICES_ONLY, throwaway=True)
        with stack:
            assert len(stack.members()) > len(SERVICES_ONLY)
        assert stack.members() == []
        assert not stack.place.home.exists()

    def test_lets_nothing_outlive_a_killed_supervisor(self) -> None:
        with Stack(parts=SERVICES, throwaway=True) as stack:
            supervisor = int((stack.place.home / "supervisord.pid").read_text())
            assert supervisor in stack.members()
            subprocess.run(["kill", "-KILL", str(supervisor)], check=True)
            assert stack.wait_for_end(seconds=5)
        assert stack.members() == []

    def test_sweeps_up_after_a_killed_keeper(self) -> None:
        code = (
            "import os, signal\nfrom scripts.stack import SERVICES_ONLY, Stack\n"
            "stack = Stack(parts=SERVICES_ONLY, throwaway=True)\nstack.start()\n"
            "print(stack.place.home, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
        )
        command = [sys.executable, "-c", code]
        said = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        forgotten = Place(home=Path(said.stdout.strip()), throwaway=True)
        with Stack(parts=("redis", "postgres"), throwaway=True):
            assert members(forgotten.stack_id, forgotten.home) == []
            assert not forgotten.home.exists()


class TestStartingAgain:
    async def test_keeps_the_data(self, kept_place: Place) -> None:
        with first_start(kept_place) as stack:
            owner, ports = stack.env["DB_OWNER_URL"], stack.layout.ports
            await execute(owner, "CREATE TABLE kept AS SELECT 42 AS answer")
        with first_start(kept_place) as stack:
            assert stack.layout.ports == ports
            assert stack.env["DB_OWNER_URL"] == owner
            assert await execute(owner, "SELECT answer FROM kept") == 42

    async def test_denies_the_application_to_change_the_schema(self, kept_place: Place) -> None:
        with first_start(kept_place) as stack, pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(stack.env["DB_URL"], "CREATE TABLE mine (id int)")

    def test_runs_beside_another_stack(self) -> None:
        with (
            Stack(parts=SERVICES_ONLY, throwaway=True) as one,
            Stack(parts=SERVICES_ONLY, throwaway=True) as other,
        ):
            assert not set(one.layout.ports.values()) & set(other.layout.ports.values())
            assert not set(one.members()) & set(other.members())

    def test_moves_when_a_port_is_taken(self, kept_place: Place) -> None:
        with first_start(kept_place) as stack:
            taken = stack.layout.ports["redis"]
        with Stack(parts=("postgres", "redis"), throwaway=True) as squatter:
            assert is_free(taken)
            record = squatter.place.home / "ports.json"
            (kept_place.home / "ports.json").write_text(record.read_text())
            with first_start(kept_place) as stack:
                assert stack.layout.ports["redis"] != squatter.layout.ports["redis"]


def first_start(place: Place) -> Stack:
    return Stack(place=place, parts=SERVICES_ONLY, publish_to=place.home / "public")


async def execute(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def listening_addresses(ports: set[int]) -> dict[int, set[str]]:
    """Return who listens on these ports, as the kernel tells it."""
    found: dict[int, set[str]] = {port: set() for port in ports}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            address, port = local.split(":")
            if state == "0A" and int(port, 16) in found:
                found[int(port, 16)].add("127.0.0.1" if address == "0100007F" else address)
    return found
