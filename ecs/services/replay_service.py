"""Use cases of whoever has to defend a decision: see it whole, and decide it again."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from ecs.domain.credit.policy import Policy
from ecs.domain.credit.replay import Decide, Replay, replay
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import OfferNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayService:
    """Recorded decisions, of anybody: for auditors with the owner's rights, never over HTTP."""

    unit_of_work: Callable[[], UnitOfWork]
    decide: Decide
    policy: Policy

    async def replay(self, decision_id: UUID) -> Replay:
        """Decide again by the record of an offer, or of an assessment; ``OfferNotFound``: none."""
        async with self.unit_of_work() as uow:
            recorded = await uow.decision_records.find(decision_id)
        if recorded is None:
            raise OfferNotFound
        return replay(recorded, decide=self.decide, policy=self.policy)
