"""Seals over the audit, and whether rows and seals are still as they were written."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from ecs.domain.audit import START, Candidate, Digest, Verification, find_flaw, make_seal
from ecs.repositories.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

ROWS_MAX: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditService:
    """
    The seals of the audit.

    Writers wait for nobody: who seals looks which of them are still at work, and waits for those.
    """

    unit_of_work: Callable[[], UnitOfWork]
    digest: Digest

    async def seal(self, candidate: Candidate | None = None) -> Candidate | None:
        """
        Seal what may be sealed; return what has to wait, to be given to the next round.

        Ids are committed out of order. What a round saw is sealed once everybody who was writing
        at that moment has ended: no earlier row can appear any more.
        """
        candidate = await self._look(candidate)
        if candidate is None or candidate.writers:
            return candidate
        while await self._seal_batch(candidate) == ROWS_MAX:
            pass
        return None

    async def verify(self, *, on_seal: Callable[[int, int], None]) -> Verification:
        """
        Return whether rows and seals are as they were written, up to the first that is not.

        ``on_seal`` hears how many seals are checked, and of how many.
        """
        async with self.unit_of_work() as uow:
            found = await self._follow(uow, on_seal)
            return replace(
                found,
                unseen_encryption=await uow.audit.find_unseen_encryption(),
                unseen_decryption=await uow.audit.find_unseen_decryption(),
            )

    async def _look(self, candidate: Candidate | None) -> Candidate | None:
        async with self.unit_of_work() as uow:
            if candidate is None:
                return await uow.audit.find_candidate()
            return candidate.still_waiting_for(await uow.audit.list_writers())

    async def _seal_batch(self, candidate: Candidate) -> int:
        async with self.unit_of_work() as uow:
            if not await uow.audit.try_to_seal():
                return 0  # Somebody else does it.
            previous = await uow.audit.last_link()
            rows = await uow.audit.list_rows(previous, last_id=candidate.last_id, limit=ROWS_MAX)
            if not rows:
                return 0
            now = await uow.audit.now()
            seal = make_seal(previous, rows, sealed_at=now, digest=self.digest)
            await uow.audit.add_seal(seal)
            await uow.commit()
        log.info("audit.sealed", seal_id=seal.id, rows=len(rows), last_id=seal.last_id)
        return len(rows)

    async def _follow(self, uow: UnitOfWork, on_seal: Callable[[int, int], None]) -> Verification:
        """Check one seal after the other; only one of them is in memory."""
        found, previous, total = Verification(), START, await uow.audit.count_seals()
        while seal := await uow.audit.find_seal_after(previous.id):
            rows = await uow.audit.list_rows_under(previous, seal)
            flaw = find_flaw(previous, seal, rows, self.digest)
            if flaw is not None:
                return replace(found, flaw=flaw)
            previous = seal
            found = found.with_seal(seal)
            on_seal(found.seals, max(total, found.seals))
        waiting_rows, waiting_seconds = await uow.audit.count_waiting(previous)
        return replace(found, waiting_rows=waiting_rows, waiting_seconds=waiting_seconds)
