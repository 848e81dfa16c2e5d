"""What a whole journey leaves in the log of a real process: facts, and nothing private."""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from httpx import AsyncClient

from tests import builders
from tests.api.routes_support import (
    CLIENT_KEY,
    CLOSED_PORT,
    SIGNING_KEY,
    a_transaction,
    acting,
    settings_for,
)
from tests.builders import Database

EMAIL: Final = "zoraide.private@example.com"
NAME: Final = "Zoraide Quaresma"
PASSWORD: Final = "an unspoken lake at dawn"
SECRET: Final = "s3cr3t-of-the-feed"
AMOUNT: Final = "-234.56"
RUNNING: Final = re.compile(r"running on http://127\.0\.0\.1:(\d+)")
COMMAND: Final = ("-m", "ecs.api", "--host", "127.0.0.1", "--port", "0")


class Log:
    """The lines of a process, as they come."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.lines: list[str] = []

    async def port(self) -> int:
        """Wait until the process says where it listens."""
        while True:
            line = await self._next()
            found = RUNNING.search(line)
            if found:
                return int(found.group(1))

    async def rest(self) -> None:
        """Read until the process ends."""
        while await self._next():
            pass

    async def _next(self) -> str:
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        self.lines.append(line)
        assert line or self._process.stdout.at_eof()
        return line


def environment(database: Database, redis_url: str) -> dict[str, str]:
    return builders.environment_for(database, redis_url) | {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "production",
        "LOG_LEVEL": "debug",
        "JWT_SECRET": SIGNING_KEY,
        "CLIENT_SECRET_KEY": CLIENT_KEY,
        "RABBITMQ_PASS": CLIENT_KEY,
        "RABBITMQ_PORT": str(CLOSED_PORT),
    }


@asynccontextmanager
async def a_process(database: Database, redis_url: str) -> AsyncIterator[tuple[AsyncClient, Log]]:
    """Start the API as it is started in production, and end it; its log is whole afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *COMMAND,
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(database, redis_url),
    )
    log = Log(process)
    try:
        async with asyncio.timeout(60):
            base_url = f"http://127.0.0.1:{await log.port()}"
        async with AsyncClient(base_url=base_url, timeout=30) as client:
            yield client, log
        process.terminate()
        async with asyncio.timeout(30):
            await log.rest()
            assert await process.wait() in {0, -15}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def log_in(client: AsyncClient, **form: str) -> dict[str, str]:
    issued = (await client.post("/token", data=form)).json()
    return {"Authorization": f"Bearer {issued['access_token']}"}


async def journey(client: AsyncClient, client_id: str) -> list[str]:
    """Do everything once, right and wrong; return what must not be found in any log."""
    login = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}
    person = {"email": EMAIL, "full_name": NAME, "password": PASSWORD}
    registered = (await client.post("/api/v1/users", json=person)).json()
    await client.post("/api/v1/users", json=person)
    await client.post("/api/v1/users", json={**person, "full_name": NAME + "\x00"})
    await client.post("/token", data={**login, "password": PASSWORD + "!"})
    headers = await log_in(client, **login)
    feed = await log_in(
        client, grant_type="client_credentials", client_id=client_id, client_secret=SECRET
    )
    items = [a_transaction(registered["id"], amount=AMOUNT) for _ in range(12)]
    items += [a_transaction(registered["id"], amount="5000.00", category="income"), {"x": AMOUNT}]
    await client.post("/api/v1/transactions/ingest", json={"transactions": items}, headers=feed)
    request_id = {"X-Request-ID": "journey-0001"}
    offer = (await client.post("/api/v1/credit/apply", headers={**headers, **request_id})).json()
    await client.post(f"/api/v1/credit/offers/{offer['id']}/accept", headers=headers)
    await client.get(f"/api/v1/credit/offers?email={EMAIL}", headers=headers)
    await client.get("/api/v1/users/me", headers=headers)
    await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {SECRET}.x.y"})
    await client.get(f"/{EMAIL}")
    tokens = [headers["Authorization"][7:], feed["Authorization"][7:]]
    return [EMAIL, NAME, PASSWORD, SECRET, AMOUNT, *tokens]


async def test_a_journey_leaves_facts_and_nothing_private(
    database: Database, redis_url: str
) -> None:
    async with acting(settings_for(database, redis_url)) as stage:
        feed = await stage.a_feed(secret=SECRET)
    async with a_process(database, redis_url) as (client, log):
        private = await journey(client, str(feed.id))
    text = "".join(log.lines)

    for secret in [*private, EMAIL.partition("@")[0], SIGNING_KEY, CLIENT_KEY]:
        assert secret.lower() not in text.lower()
    assert "$argon2" not in text
    check_canonical_lines([json.loads(line) for line in log.lines if line.strip()])


def check_canonical_lines(lines: list[dict[str, Any]]) -> None:
    requests = [line for line in lines if line["event"] == "http.request"]
    routes = {(line["method"], line["route"], line["status"]) for line in requests}
    (applied,) = [line for line in requests if line["route"] == "/api/v1/credit/apply"]
    decided = [line for line in lines if line["event"] == "credit.decided"]

    assert len(requests) == 13
    assert all(line["request_id"] and line["duration_ms"] > 0 for line in requests)
    assert all(line["service"] == "api" and line["timestamp"] for line in lines)
    assert {
        ("POST", "/api/v1/users", 201),
        ("POST", "/api/v1/users", 409),
        ("POST", "/token", 400),
        ("POST", "/api/v1/credit/offers/{offer_id}/accept", 202),
        ("GET", "/api/v1/credit/offers", 422),
        ("GET", "/api/v1/users/me", 401),
        ("GET", None, 404),
    } <= routes
    assert (applied["status"], applied["request_id"]) == (201, "journey-0001")
    assert applied["client"] == "127.0.0.0/24"
    assert [line["request_id"] for line in decided] == ["journey-0001"]
