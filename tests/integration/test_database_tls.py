"""A PostgreSQL that takes nothing but TLS: the engines, the listener and migrations reach it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from ecs.repositories.database import job_engine, request_engine
from ecs.repositories.outbox_listener import OutboxListener
from scripts.stack import Stack
from scripts.stack.errors import StackError
from scripts.stack.preparation import migrate
from tests.builders import connected

# PostgreSQL runs them in its own folder: only its own user may read the key.
CERTIFY: Final = (
    "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    " -subj /CN=ecs.test -keyout server.key -out server.crt 2>/dev/null"
)
ONLY_TLS: Final = "sed -i 's/^host /hostssl /' pg_hba.conf"
IS_ENCRYPTED: Final = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
LISTENING: Final = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
Engine = Callable[..., AsyncEngine]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A PostgreSQL of its own."""
    with Stack(parts=("postgres",), throwaway=True) as stack:
        asyncio.run(_take_only_tls(stack))
        yield stack


async def _take_only_tls(stack: Stack) -> None:
    async with connected(stack.superuser_url) as superuser:
        for command in (CERTIFY, ONLY_TLS):
            quoted = command.replace("'", "''")
            await superuser.execute(f"COPY (SELECT 1) TO PROGRAM '{quoted}'")
        await superuser.execute("ALTER SYSTEM SET ssl = on")
        await superuser.execute("SELECT pg_reload_conf()")


@pytest.fixture
def url(stack: Stack) -> str:
    """The application's address, as the settings hold it."""
    return stack.env["DB_URL"].replace("://", "+asyncpg://") + "?sslmode=require"


class TestTls:
    @pytest.mark.parametrize("make", [request_engine, job_engine])
    async def test_an_engine_speaks_it(self, url: str, make: Engine) -> None:
        engine = make(url, name="test")
        async with engine.connect() as connection:
            assert (await connection.execute(text(IS_ENCRYPTED))).scalar_one() is True
        await engine.dispose()

    @pytest.mark.parametrize("make", [request_engine, job_engine])
    async def test_an_engine_that_must_not_is_refused(self, url: str, make: Engine) -> None:
        engine = make(url.replace("require", "disable"), name="test")
        with pytest.raises(DBAPIError, match="no encryption"):
            await engine.connect()
        await engine.dispose()

    async def test_migrations_do(self, stack: Stack) -> None:
        urls = {name: f"{stack.env[name]}?sslmode=require" for name in ("DB_URL", "DB_OWNER_URL")}
        await asyncio.to_thread(migrate, stack.env | urls)
        plain = {name: url.replace("require", "disable") for name, url in urls.items()}
        with pytest.raises(StackError):
            await asyncio.to_thread(migrate, stack.env | plain)

    async def test_the_listener_hears_over_it(self, stack: Stack, url: str) -> None:
        listener = OutboxListener(url, reconnect_seconds=0.05)
        own = f"{stack.env['DB_URL']}?sslmode=require"
        async with listener.listening(), connected(own) as application:
            async with asyncio.timeout(10):
                while not await application.fetchval(LISTENING):
                    await application.execute("SELECT pg_sleep(0.02)")
            waiting = asyncio.create_task(listener.wait("rq:accounts", seconds_max=30))
            await application.execute("SELECT pg_notify('outbox', 'rq:accounts')")
            await asyncio.wait_for(waiting, 5)

    async def test_a_listener_that_cannot_says_so_once(self, url: str) -> None:
        listener = OutboxListener(url.replace("require", "disable"), reconnect_seconds=0.01)
        with capture_logs() as lines:
            async with listener.listening():
                await listener.wait("rq:accounts", seconds_max=0.5)
        assert [line["event"] for line in lines] == ["outbox.listener-lost"]
