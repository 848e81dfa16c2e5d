"""Asks the bureau about applications: ``python -m workers.credit_report``. Many may run."""

import asyncio
from collections.abc import Sequence
from typing import Final

from ecs.bootstrap import Application
from ecs.domain.streams import CREDIT_REPORTS, Delivery, Left
from ecs.domain.telemetry import UNTRACED, Traces
from ecs.wire.prequalification import read_submission_notice
from workers.prequalification import handle, serve

SERVICE: Final = "credit-report"


async def report(
    ecs: Application, deliveries: Sequence[Delivery], *, traces: Traces = UNTRACED
) -> list[Left]:
    """Have the submitted applications reported; return the messages that are left."""
    return await handle(
        deliveries,
        stream=CREDIT_REPORTS,
        read=read_submission_notice,
        use=ecs.credit_reports.report,
        traces=traces,
    )


if __name__ == "__main__":
    asyncio.run(serve(SERVICE, stream=CREDIT_REPORTS, use=report))
