"""What the database's container runs once, on a real PostgreSQL."""

import os
import subprocess
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from scripts.stack.place import CHECKOUT
from scripts.stack.preparation import migrate
from tests.builders import connected
from tests.shared_services import Services

SCRIPT: Final = CHECKOUT / "deploy" / "postgres" / "10-roles.sh"
PASSWORD: Final = "it's 'quoted' \"twice\" $HOME \\"


@pytest.fixture
async def superuser() -> AsyncIterator[Any]:
    """A connection that may do everything."""
    async with connected(Services.ask().superuser_url) as connection:
        yield connection


@pytest.fixture
async def made(superuser: Any) -> AsyncIterator[str]:
    """A mark in the names of the roles and of the database that the script has made."""
    mark = uuid4().hex[:12]
    await superuser.execute(f"CREATE ROLE boot_{mark} LOGIN SUPERUSER PASSWORD 'boot'")
    await superuser.execute(f"CREATE DATABASE data_{mark} OWNER boot_{mark}")
    try:
        _run_script(mark)
        yield mark
    finally:
        await superuser.execute(f"DROP DATABASE data_{mark} WITH (FORCE)")
        for role in ("boot", "owner", "app", "monitor"):
            await superuser.execute(f"DROP ROLE IF EXISTS {role}_{mark}")


def _run_script(mark: str) -> None:
    address = urlsplit(Services.ask().superuser_url)
    given = {
        "PATH": os.environ["PATH"],
        "PGHOST": str(address.hostname),
        "PGPORT": str(address.port),
        "PGPASSWORD": "boot",
        "POSTGRES_USER": f"boot_{mark}",
        "POSTGRES_DB": f"data_{mark}",
        "OWNER_USER": f"owner_{mark}",
        "OWNER_PASSWORD": PASSWORD,
        "APP_USER": f"app_{mark}",
        "APP_PASSWORD": PASSWORD,
        "MONITOR_USER": f"monitor_{mark}",
        "MONITOR_PASSWORD": PASSWORD,
    }
    subprocess.run(["bash", str(SCRIPT)], env=given, check=True, capture_output=True)


class TestTheRolesOfCompose:
    async def test_none_has_more_rights_than_it_needs(self, superuser: Any, made: str) -> None:
        rows = await superuser.fetch(
            "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
            " AS strong, rolcanlogin FROM pg_roles WHERE rolname = ANY($1)",
            [f"owner_{made}", f"app_{made}", f"monitor_{made}"],
        )
        assert [(row["strong"], row["rolcanlogin"]) for row in rows] == [(False, True)] * 3

    async def test_only_the_owner_the_application_and_who_watches_may_enter(
        self, superuser: Any, made: str
    ) -> None:
        rows = await superuser.fetch(
            "SELECT grantee::regrole::text AS who, privilege_type AS what"
            " FROM pg_database, aclexplode(datacl) WHERE datname = $1",
            f"data_{made}",
        )
        assert {(row["who"], row["what"]) for row in rows} == {
            *((f"owner_{made}", what) for what in ("CREATE", "CONNECT", "TEMPORARY")),
            (f"app_{made}", "CONNECT"),
            (f"monitor_{made}", "CONNECT"),
        }

    async def test_the_superuser_keeps_no_password(self, superuser: Any, made: str) -> None:
        query = "SELECT rolpassword FROM pg_authid WHERE rolname = $1"
        assert await superuser.fetchval(query, f"boot_{made}") is None

    async def test_the_owner_migrates_and_the_application_reads(
        self, superuser: Any, made: str
    ) -> None:
        for role in ("owner", "app"):
            await superuser.execute(f"ALTER ROLE {role}_{made} PASSWORD 'plain'")
        place = f"plain@{urlsplit(Services.ask().superuser_url).netloc.rpartition('@')[2]}"
        urls = {
            variable: f"postgresql://{role}_{made}:{place}/data_{made}"
            for variable, role in (("DB_OWNER_URL", "owner"), ("DB_URL", "app"))
        }
        migrate(urls | {"ENVIRONMENT": "test"})
        async with connected(urls["DB_URL"]) as connection:
            assert await connection.fetchval("SELECT count(*) FROM users") == 0
