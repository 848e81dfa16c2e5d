"""Decides reported applications: ``python -m workers.decision``. Many may run."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from ecs.bootstrap import PROMPT, Application, application, stream_consumer
from ecs.config import settings_or_exit
from ecs.domain.streams import DECISIONS, Delivery
from ecs.log import configure_logging
from ecs.wire.prequalification import read_report_notice
from workers.prequalification import Left, can_work, handle
from workers.runtime import stop_event
from workers.streams import consume

SERVICE: Final = "decision"


async def decide(ecs: Application, deliveries: Sequence[Delivery]) -> list[Left]:
    """Have the reported applications decided; return the messages that are left."""
    return await handle(
        deliveries,
        stream=DECISIONS,
        read=read_report_notice,
        use=ecs.prequalification_decisions.decide,
    )


async def main() -> None:
    """Take reports until told to stop; what was taken by then is finished first."""
    settings = settings_or_exit()
    configure_logging(level=settings.log_level, service=SERVICE)
    async with application(settings, name=SERVICE) as ecs:
        consumer = stream_consumer(
            settings,
            stream=DECISIONS,
            handle=partial(decide, ecs),
            can_work=partial(can_work, ecs),
            pace=PROMPT,
        )
        await consume(consumer, stop_event())


if __name__ == "__main__":
    asyncio.run(main())
