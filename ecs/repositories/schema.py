"""Which schema this program was written for."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The newest revision under migrations/versions; a test holds the two together. Revisions are
# named by the minute, so that an older schema always sorts before.
REVISION: Final = "202611211815"


async def is_current(connection: AsyncConnection) -> bool:
    """Return whether the database's schema is at least the one this program needs."""
    found = await connection.execute(text("SELECT max(version_num) FROM alembic_version"))
    return (found.scalar_one_or_none() or "") >= REVISION
