"""Between the services and the application: roles, database, migrations, demo people."""

import asyncio
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import asyncpg

from scripts.stack import settings
from scripts.stack.place import CHECKOUT
from scripts.stack.programs import Layout
from scripts.stack.subprocesses import run_quietly

CREATED: Final = "database-created"


def create_database(layout: Layout) -> None:
    """Create both roles and the database once. The application's role owns nothing."""
    marker = layout.place.home / CREATED
    if not marker.exists():
        _run(_create(layout))
        marker.touch()


def create_monitor(layout: Layout) -> None:
    """Create the role that sees PostgreSQL's statistics and no table, unless it is there."""
    _run(_create_monitor(layout))


def superuser_url(layout: Layout, *, database: str = "postgres") -> str:
    """Return the superuser's address of a database, for tests and for ``psql``."""
    password = layout.place.secrets()["superuser"]
    return settings.database_url("postgres", password, layout.ports["postgres"], database=database)


def has_migrations() -> bool:
    """Return whether there is anything to migrate to."""
    return any((CHECKOUT / "migrations" / "versions").glob("*.py"))


def migrate(environment: dict[str, str]) -> None:
    """Bring the database to the newest schema, as its owner."""
    if has_migrations():
        run_python(["-m", "alembic", "upgrade", "head"], environment)


def seed(environment: dict[str, str], *, out: Path) -> None:
    """Add the demo people who are missing, and what they did since the last start."""
    run_python(["-m", "scripts.seed_dev", "--out", str(out)], environment)
    out.chmod(0o600)


def declare_streams(environment: dict[str, str]) -> None:
    """Make the queues, so that a ready stack takes what devices send."""
    run_python(["-m", "scripts.declare_streams"], environment)


def run_python(words: list[str], environment: dict[str, str]) -> str:
    """Run one of our own modules with the stack's settings."""
    basics = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return run_quietly([sys.executable, *words], folder=CHECKOUT, environment=basics | environment)


def _run(steps: Coroutine[None, None, None]) -> None:
    # A thread of its own: tests call this from inside a running loop.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, steps).result()


async def _connected(layout: Layout) -> asyncpg.Connection:
    connection = await asyncpg.connect(superuser_url(layout))
    await connection.execute("SET log_min_duration_statement = -1")  # No password in a log.
    await connection.execute("SET log_min_error_statement = 'panic'")
    return connection


async def _create_monitor(layout: Layout) -> None:
    connection = await _connected(layout)
    try:
        await _create_role(connection, settings.MONITOR, layout.place.secrets()["monitor"])
        await connection.execute(f"GRANT pg_monitor TO {settings.MONITOR}")
        await connection.execute(
            f"GRANT CONNECT ON DATABASE {settings.DATABASE} TO {settings.MONITOR}"
        )
    finally:
        await connection.close()


async def _create(layout: Layout) -> None:
    secrets = layout.place.secrets()
    connection = await _connected(layout)
    try:
        await _create_role(connection, settings.OWNER, secrets["owner"])
        await _create_role(connection, settings.APPLICATION, secrets["app"])
        database = settings.DATABASE
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
            await connection.execute(f"CREATE DATABASE {database} OWNER {settings.OWNER}")
        await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {settings.APPLICATION}")
    finally:
        await connection.close()


async def _create_role(connection: asyncpg.Connection, role: str, password: str) -> None:
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {role} LOGIN NOCREATEDB NOCREATEROLE")
    # Hexadecimal digits: nothing to quote.
    await connection.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
