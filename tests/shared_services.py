"""
One throw-away PostgreSQL and Redis, and one RabbitMQ, for a whole test run.

The process that starts the run (xdist's controller, or the only one) answers on a private socket.
The first test that asks makes it start what it asks for; the end of the run stops everything.
"""

import asyncio
import json
import os
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import asyncpg
from pydantic import SecretStr

from ecs.config import RabbitSettings
from scripts.stack import BROKER_ONLY, SERVICES_ONLY, Stack
from scripts.stack.preparation import migrate

VARIABLE: Final = "ECS_TEST_SERVICES"
TEMPLATE: Final = "ecs_template"
START_SECONDS: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Where the shared services are. ``redis_url`` ends without a database number."""

    superuser_url: str
    owner_url: str
    app_url: str
    redis_url: str

    @classmethod
    def ask(cls) -> Self:
        """Return the addresses, after the controller has started the services if need be."""
        return cls(**_ask("services"))


def ask_for_rabbitmq() -> RabbitSettings:
    """Return where RabbitMQ is, after the controller has started it if need be."""
    found = _ask("rabbitmq")
    return RabbitSettings(
        user=found["user"],
        RABBITMQ_PASS=SecretStr(found["password"]),
        host=found["host"],
        port=found["port"],
    )


def _ask(what: str) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(START_SECONDS)
        connection.connect(os.environ[VARIABLE])
        connection.sendall(f"{what}\n".encode())
        with connection.makefile("rb") as answer:
            said: dict[str, Any] = json.load(answer)
    if "error" in said:
        raise RuntimeError(said["error"])
    return said


class ServicesKeeper:
    """Starts the services when first asked, from one thread, and stops them with it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ecs-tests-"))
        self._server = _Server(str(self._folder / "services.sock"), _Answer)
        self._thread = threading.Thread(target=self._serve, name="services-keeper")

    def start(self) -> None:
        """Listen; nothing else runs yet."""
        os.environ[VARIABLE] = str(self._server.server_address)
        self._thread.start()

    def stop(self) -> None:
        """Stop the services, if they were needed, and forget their data."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        os.environ.pop(VARIABLE, None)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        try:
            self._server.serve_forever(poll_interval=0.05)
        finally:
            self._server.stop_stacks()


class _Server(socketserver.UnixStreamServer):
    request_queue_size = 64

    def __init__(self, address: str, handler: type[socketserver.StreamRequestHandler]) -> None:
        super().__init__(address, handler)
        self._stacks: list[Stack] = []
        self._answers: dict[str, str] = {}

    def answer(self, question: str) -> str:
        """Return the addresses or the error as JSON; both are found out once."""
        if question not in self._answers:
            start = self._start_rabbitmq if question == "rabbitmq" else self._start
            try:
                self._answers[question] = json.dumps(start())
            except Exception as error:  # noqa: BLE001  (told to whoever asked)
                self._answers[question] = json.dumps({"error": f"No {question} for tests: {error}"})
        return self._answers[question]

    def stop_stacks(self) -> None:
        """Stop what was started."""
        for stack in self._stacks:
            stack.stop()

    def _started(self, parts: Collection[str]) -> Stack:
        stack = Stack(parts=parts, throwaway=True)
        self._stacks.append(stack)
        stack.start()
        return stack

    def _start_rabbitmq(self) -> dict[str, Any]:
        environment = self._started(BROKER_ONLY).env
        return {
            "user": environment["RABBITMQ_USER"],
            "password": environment["RABBITMQ_PASS"],
            "host": environment["RABBITMQ_HOST"],
            "port": environment["RABBITMQ_PORT"],
        }

    def _start(self) -> dict[str, Any]:
        stack = self._started(SERVICES_ONLY)
        environment = stack.env
        services = Services(
            superuser_url=stack.superuser_url,
            owner_url=environment["DB_OWNER_URL"],
            app_url=environment["DB_URL"],
            redis_url=environment["REDIS_URL"].removesuffix("/0"),
        )
        asyncio.run(create_database(services, TEMPLATE, template="template1"))
        migrate(
            environment
            | {
                "DB_OWNER_URL": in_database(services.owner_url, TEMPLATE),
                "DB_URL": in_database(services.app_url, TEMPLATE),
            }
        )
        return asdict(services)


class _Answer(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        question = self.rfile.readline().decode().strip()
        self.wfile.write(self.server.answer(question).encode())


def in_database(url: str, name: str) -> str:
    """Return the same address in another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def create_database(services: Services, name: str, *, template: str) -> None:
    """Create a database that the owner owns and that the application may enter."""
    owner, application = (urlsplit(url).username for url in (services.owner_url, services.app_url))
    connection = await asyncpg.connect(services.superuser_url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {owner}")
        await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {application}")
    finally:
        await connection.close()


async def drop_database(services: Services, name: str) -> None:
    """Drop a database together with whoever is still connected."""
    connection = await asyncpg.connect(services.superuser_url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        await connection.close()
