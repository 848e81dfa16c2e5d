"""
One throw-away PostgreSQL and Redis for a whole test run.

The process that starts the run (xdist's controller, or the only one) answers on a private socket.
The first test that asks makes it start the services; the end of the run stops them.
"""

import asyncio
import json
import os
import shutil
import socket
import socketserver
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import asyncpg

from scripts.stack import SERVICES_ONLY, Stack
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
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START_SECONDS)
            connection.connect(os.environ[VARIABLE])
            with connection.makefile("rb") as answer:
                said = json.load(answer)
        if "error" in said:
            raise RuntimeError(said["error"])
        return cls(**said)


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
            self._server.stop_stack()


class _Server(socketserver.UnixStreamServer):
    request_queue_size = 64
    _stack: Stack | None = None
    _answer: str | None = None

    def answer(self) -> str:
        """Return the addresses or the error as JSON; both are found out once."""
        if self._answer is None:
            try:
                self._answer = json.dumps(asdict(self._start()))
            except Exception as error:  # noqa: BLE001  (told to whoever asked)
                self._answer = json.dumps({"error": f"No services for the tests: {error}"})
        return self._answer

    def stop_stack(self) -> None:
        """Stop what was started."""
        if self._stack is not None:
            self._stack.stop()

    def _start(self) -> Services:
        self._stack = Stack(parts=SERVICES_ONLY, throwaway=True)
        self._stack.start()
        environment = self._stack.env
        services = Services(
            superuser_url=self._stack.superuser_url,
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
        return services


class _Answer(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.wfile.write(self.server.answer().encode())


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
