"""Make every stream's exchange and queues, so that devices may send before anybody consumes."""

import asyncio
import sys

from ecs.config import Settings, settings_or_exit
from ecs.domain.streams import STREAMS
from ecs.log import configure_logging
from ecs.services.exceptions import DestinationUnavailable, TopologyMismatch
from ecs.streaming import stream_publisher


async def declare(settings: Settings) -> None:
    """Declare all streams; those that are there already stay as they are."""
    async with stream_publisher(settings, name="declare-streams") as publisher:
        for stream in STREAMS.values():
            await publisher.declare(stream)


def main() -> None:
    """Declare, or say in one line why not."""
    settings = settings_or_exit()
    configure_logging(level="error", service="declare-streams")
    try:
        asyncio.run(declare(settings))
    except (DestinationUnavailable, TopologyMismatch) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
