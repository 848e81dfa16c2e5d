from collections.abc import AsyncIterator

import pytest

from ecs.bootstrap import Application
from tests.builders import Database
from tests.integration.measured import Meter, measured


@pytest.fixture
def meter() -> Meter:
    """Tells what the services of this test have counted."""
    return Meter()


@pytest.fixture
async def ecs(database: Database, redis_url: str, meter: Meter) -> AsyncIterator[Application]:
    """The services, measured by ``meter``."""
    async with measured(database, redis_url, meter) as ecs:
        yield ecs
