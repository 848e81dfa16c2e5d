"""Measures what waits: ``python -m workers.backlog``. Any number of these may run."""

import asyncio
from typing import Final

from ecs.bootstrap import Application, application
from workers.runtime import start, stop_event

SERVICE: Final = "backlog"
CONNECTIONS: Final = 1


async def run(ecs: Application) -> None:
    """Look again and again until SIGTERM or SIGINT."""
    await stop_event().wait()


async def main() -> None:
    """Build the application and look."""
    settings, telemetry = start(SERVICE)
    async with application(
        settings, name=SERVICE, connections=CONNECTIONS, telemetry=telemetry
    ) as ecs:
        await run(ecs)


if __name__ == "__main__":
    asyncio.run(main())
