"""Decides reported applications: ``python -m workers.decision``. Many may run."""

import asyncio
from collections.abc import Sequence
from typing import Final

from ecs.bootstrap import Application
from ecs.domain.streams import DECISIONS, Delivery, Left
from ecs.domain.telemetry import UNTRACED, Traces
from ecs.wire.prequalification import read_report_notice
from workers.prequalification import handle, serve

SERVICE: Final = "decision"


async def decide(
    ecs: Application, deliveries: Sequence[Delivery], *, traces: Traces = UNTRACED
) -> list[Left]:
    """Have the reported applications decided; return the messages that are left."""
    return await handle(
        deliveries,
        stream=DECISIONS,
        read=read_report_notice,
        use=ecs.prequalification_decisions.decide,
        traces=traces,
    )


if __name__ == "__main__":
    asyncio.run(serve(SERVICE, stream=DECISIONS, use=decide))
