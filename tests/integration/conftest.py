from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from ecs.bootstrap import Application, application, owner_application
from tests.builders import Database, a_client, a_user, connected, settings_for


@pytest.fixture
async def ecs(database: Database, redis_url: str) -> AsyncIterator[Application]:
    """The services on a fresh database, with the application's own rights."""
    async with application(settings_for(database, redis_url), name="test") as ecs:
        yield ecs


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Any]:
    """A plain connection with the owner's rights."""
    async with connected(database.owner_url) as connection:
        yield connection


@pytest.fixture
async def plain(database: Database) -> AsyncIterator[Any]:
    """A plain connection with the application's rights."""
    async with connected(database.app_url) as connection:
        yield connection


@pytest.fixture
async def operator(database: Database, redis_url: str) -> AsyncIterator[Application]:
    """The services with the owner's rights, each unit of work on a connection of its own."""
    async with owner_application(settings_for(database, redis_url)) as ecs:
        yield ecs


@pytest.fixture
async def user_id(database: Database) -> UUID:
    """A new person."""
    return await a_user(database)


@pytest.fixture
async def client_id(database: Database) -> UUID:
    """A new client program that may do everything."""
    return await a_client(database)
