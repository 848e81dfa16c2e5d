"""Use cases of transactions: take in a batch, each item judged alone."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from ecs.domain.measures import TRANSACTIONS
from ecs.domain.telemetry import Measures
from ecs.domain.transactions import IncomingTransaction, Verdict, refusal
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.ports import Clock, NewId

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionsService:
    """The server-to-server feed of financial transactions."""

    unit_of_work: Callable[[], UnitOfWork]
    now: Clock
    new_id: NewId
    currency: str
    measures: Measures

    async def ingest(
        self, items: Sequence[IncomingTransaction], *, client_id: UUID
    ) -> dict[int, Verdict]:
        """Store what is new; return a verdict for each item's index. A replay stores nothing."""
        now = self.now()
        verdicts = {item.index: refusal(item, now=now, currency=self.currency) for item in items}
        sound = [item for item in items if verdicts[item.index] is None]
        stored: dict[int, Verdict] = {}
        if sound:
            async with self.unit_of_work() as uow:
                stored = await uow.transactions.ingest(
                    sound, client_id=client_id, ids=[self.new_id() for _ in sound]
                )
                await uow.commit()
        judged = {index: verdict for index, verdict in verdicts.items() if verdict} | stored
        counts = Counter(judged.values())
        for verdict, number in counts.items():
            self.measures.count(TRANSACTIONS, number, verdict=verdict)
        log.info(
            "transactions.ingested",
            client_id=str(client_id),
            items=len(items),
            accepted=counts[Verdict.ACCEPTED],
        )
        return judged
