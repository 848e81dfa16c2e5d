from collections.abc import AsyncIterator

import pytest

from scripts.stack.stack import Stack
from tests.e2e.support import Outside, outside


@pytest.fixture
async def ecs(stack: Stack) -> AsyncIterator[Outside]:
    """The running system from outside; what must always hold is checked at the end."""
    async with outside(stack) as ecs:
        yield ecs
