"""How this program connects to PostgreSQL: pools, time limits, and what errors mean."""

from contextlib import AsyncExitStack, suppress
from typing import Any, Final, cast

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

from ecs.domain.measures import POOL_IN_USE, POOL_MAX
from ecs.domain.telemetry import Measures
from ecs.repositories.exceptions import (
    ConflictError,
    DatabaseError,
    DatabaseUnavailable,
    InvalidValueError,
    RepositoryError,
)

CONNECT_SECONDS_MAX: Final = 3
REQUEST_CONNECTIONS: Final = 10
# Worth another try by the caller: connections (08), shut-downs and cancelled statements (57),
# too many of something (53), deadlocks and serialisation (40), a changed plan (0A000),
# a lock not to be had in time (55P03).
TRANSIENT_CLASSES: Final = frozenset({"08", "57", "53", "40"})
TRANSIENT_STATES: Final = frozenset({"0A000", "55P03"})
INVALID_VALUE_CLASS: Final = "22"


def request_engine(url: str, *, name: str, connections: int = REQUEST_CONNECTIONS) -> AsyncEngine:
    """Return the engine of a serving process: a small pool, half of it kept open, short limits."""
    kept = (connections + 1) // 2
    return create_async_engine(
        engine_url(url),
        pool_size=kept,
        max_overflow=connections - kept,
        pool_timeout=2,
        pool_recycle=300,
        pool_pre_ping=True,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args=_connect_args(name, statement_seconds=5, lock_seconds=2),
    )


def watch_pool(engine: AsyncEngine, measures: Measures) -> None:
    """Have it measured how much of an engine's pool is in use."""
    pool = cast(QueuePool, engine.pool)
    measures.watch(POOL_IN_USE, pool.checkedout)
    measures.set(POOL_MAX, pool.size() + pool._max_overflow)  # noqa: SLF001  (told nowhere else)


async def open_kept_connections(engine: AsyncEngine) -> None:
    """
    Open what a pool keeps open, before anybody waits for it.

    A database that is away is not waited for: whoever needs it says so.
    """
    pool = cast(QueuePool, engine.pool)
    async with AsyncExitStack() as held:
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            for _ in range(pool.size()):
                await held.enter_async_context(engine.connect())


def job_engine(url: str, *, name: str) -> AsyncEngine:
    """Return the engine of one job: no pool, because each job has a loop of its own."""
    return create_async_engine(
        engine_url(url),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=_connect_args(name, statement_seconds=60, lock_seconds=10),
    )


def engine_url(url: str) -> URL:
    """Return a database's address as SQLAlchemy wants it: it passes ``sslmode`` on as ``ssl``."""
    address = make_url(url)
    mode = address.query.get("sslmode")
    if mode is None:
        return address
    return address.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})


def _connect_args(name: str, *, statement_seconds: int, lock_seconds: int) -> dict[str, Any]:
    return {
        "timeout": CONNECT_SECONDS_MAX,
        "command_timeout": statement_seconds + 1,
        "server_settings": {
            "application_name": name,
            "jit": "off",
            # A window of days must not depend on the server's summer time.
            "timezone": "UTC",
            "statement_timeout": str(statement_seconds * 1000),
            "lock_timeout": str(lock_seconds * 1000),
            # A killed, stopped or cut-off process must not keep its row locks for long.
            "client_connection_check_interval": "1000",
            "idle_in_transaction_session_timeout": "15000",
            "tcp_keepalives_idle": "30",
            "tcp_user_timeout": "15000",
        },
    }


def translate(error: BaseException) -> RepositoryError | None:
    """Return what a driver's error means to the services, or None when it is not the driver's."""
    if isinstance(error, IntegrityError):
        return ConflictError(constraint_of(error))
    if isinstance(error, DBAPIError):
        return _translate_state(str(getattr(error.orig, "sqlstate", None) or ""), error)
    if isinstance(error, PoolTimeoutError | OSError | TimeoutError):
        return DatabaseUnavailable(type(error).__name__)
    if isinstance(error, SQLAlchemyError):
        return DatabaseError(type(error).__name__)
    return None


def constraint_of(error: IntegrityError) -> str:
    """Return the name of the constraint that was broken, or an empty string."""
    cause = getattr(error.orig, "__cause__", None)
    return str(getattr(cause, "constraint_name", None) or "")


def _place_of(error: DBAPIError) -> str:
    """Return the state and where it happened; PostgreSQL's own text may repeat personal data."""
    cause = getattr(error.orig, "__cause__", None)
    words = [str(getattr(error.orig, "sqlstate", None) or type(error.orig).__name__)]
    for name in ("table_name", "column_name", "constraint_name"):
        value = getattr(cause, name, None)
        if value:
            words.append(f"{name}={value}")
    return " ".join(words)


def _translate_state(state: str, error: DBAPIError) -> RepositoryError:
    if state[:2] == INVALID_VALUE_CLASS:
        return InvalidValueError(_place_of(error))
    if (
        error.connection_invalidated
        or state[:2] in TRANSIENT_CLASSES
        or state in TRANSIENT_STATES
        or not state  # The driver itself gave up: no answer came, so there is no state.
    ):
        return DatabaseUnavailable(_place_of(error))
    return DatabaseError(_place_of(error))
