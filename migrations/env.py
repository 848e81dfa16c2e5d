"""How Alembic reaches the database: as the owner, over asyncpg, one migration at a time."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from ecs.config import migration_url_or_exit
from ecs.repositories import tables  # noqa: F401  (registers every table)
from ecs.repositories.database import engine_url
from ecs.repositories.privileges import grant_statements

OWNER_URL, APPLICATION_URL = migration_url_or_exit()
DEFAULT_APPLICATION_ROLE = "ecs_app"  # Of both stacks; taken when DB_URL names the owner alone.
MIGRATION_LOCK = 4_127_301_955  # Any constant: a second upgrade waits for the first.


def application_role(connection: Connection) -> str | None:
    """Return the role that the application connects as, or None when there is none but the owner."""
    owner = make_url(OWNER_URL).username
    named = make_url(APPLICATION_URL).username if APPLICATION_URL else None
    for role in (named, DEFAULT_APPLICATION_ROLE):
        known = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
        if role and role != owner and connection.execute(known, {"role": role}).scalar_one():
            return role
    return None


def sortable_revision(_: Any, __: Any, directives: list[Any]) -> None:
    """Name revisions by the minute, so that a later one always sorts behind."""
    if not directives:
        return
    generating = getattr(context.config.cmd_opts, "autogenerate", False)  # `check` does not.
    if generating and directives[0].upgrade_ops.is_empty():
        directives[:] = []
        sys.stderr.write("The tables have not changed: no migration is written.\n")
    else:
        directives[0].rev_id = f"{datetime.now(UTC):%Y%m%d%H%M}"


def migrate(connection: Connection) -> None:
    """Run the asked-for migrations in one transaction, then set the application's rights."""
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        compare_type=True,
        compare_server_default=True,
        process_revision_directives=sortable_revision,
    )
    with context.begin_transaction():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        context.run_migrations()
        role = application_role(connection)
        if role is not None:
            for statement in grant_statements(role):
                connection.execute(text(statement))


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Connect, or end the process with one line that says where nobody let us in."""
    try:
        connection = await engine.connect()
    except (OSError, DBAPIError) as error:
        reason = type(getattr(error, "orig", error)).__name__
        place = f"{engine.url.host}:{engine.url.port or 5432}"
        sys.exit(f"PostgreSQL at {place} does not let {engine.url.username} in ({reason}).")
    try:
        yield connection
    finally:
        await connection.close()


async def main() -> None:
    """Connect as the owner and migrate."""
    engine = create_async_engine(engine_url(OWNER_URL), poolclass=NullPool)
    async with connected(engine) as connection:
        await connection.run_sync(migrate)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("Offline migrations are not built; run against a database.")
asyncio.run(main())
