"""Asks the bureau about applications: ``python -m workers.credit_report``. Many may run."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from ecs.bootstrap import PROMPT, Application, application, stream_consumer
from ecs.config import settings_or_exit
from ecs.domain.streams import CREDIT_REPORTS, Delivery
from ecs.log import configure_logging
from ecs.wire.prequalification import read_submission_notice
from workers.prequalification import Left, can_work, handle
from workers.runtime import stop_event
from workers.streams import consume

SERVICE: Final = "credit-report"


async def report(ecs: Application, deliveries: Sequence[Delivery]) -> list[Left]:
    """Have the submitted applications reported; return the messages that are left."""
    return await handle(
        deliveries,
        stream=CREDIT_REPORTS,
        read=read_submission_notice,
        use=ecs.credit_reports.report,
    )


async def main() -> None:
    """Take submissions until told to stop; what was taken by then is finished first."""
    settings = settings_or_exit()
    configure_logging(level=settings.log_level, service=SERVICE)
    async with application(settings, name=SERVICE) as ecs:
        consumer = stream_consumer(
            settings,
            stream=CREDIT_REPORTS,
            handle=partial(report, ecs),
            can_work=partial(can_work, ecs),
            pace=PROMPT,
        )
        await consume(consumer, stop_event())


if __name__ == "__main__":
    asyncio.run(main())
