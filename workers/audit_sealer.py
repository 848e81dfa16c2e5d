"""Seals the audit: ``python -m workers.audit_sealer``. Any number of these may run."""

import asyncio
from typing import Final

import structlog

from ecs.bootstrap import Application
from ecs.domain.audit import Candidate
from ecs.services.exceptions import RepositoryError
from workers.repeated import Repeated
from workers.runtime import stop_event, work

log = structlog.get_logger(__name__)

SERVICE: Final = "audit-sealer"
CONNECTIONS: Final = 2
ROUND_SECONDS: Final = 1.0


class Rounds:
    """Rounds of sealing. Remembers what has to wait."""

    def __init__(self, ecs: Application) -> None:
        self._ecs = ecs
        self._candidate: Candidate | None = None
        self._sealing = Repeated(
            self._seal,
            failed="audit.sealing-failed",
            again="audit.sealing-again",
            expected=(RepositoryError,),
        )

    async def one(self) -> None:
        """Seal what may be sealed; a failure is told once, until it is over."""
        await self._sealing.once()

    async def _seal(self) -> None:
        self._candidate = await self._ecs.audit.seal(self._candidate)


async def run(ecs: Application) -> None:
    """Seal once a second until SIGTERM or SIGINT; the round in hand is finished."""
    stopping, rounds = stop_event(), Rounds(ecs)
    log.info("audit.sealer-started")
    while not stopping.is_set():
        await rounds.one()
        await _wait(stopping)
    log.info("audit.sealer-stopped")


async def _wait(stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), ROUND_SECONDS)
    except TimeoutError:
        return


if __name__ == "__main__":
    asyncio.run(work(SERVICE, run, connections=CONNECTIONS))
