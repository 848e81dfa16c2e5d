"""Transactions over HTTP."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter

from ecs.api.access import ClientWith
from ecs.api.deps import Transactions
from ecs.api.routing import EcsRoute
from ecs.api.schemas.ingestion import IngestionOut
from ecs.api.schemas.transactions import TransactionBatch, TransactionIn
from ecs.domain.transactions import Verdict
from ecs.wire.ingestion import ReadItems

router = APIRouter(prefix="/api/v1/transactions", tags=["transactions"], route_class=EcsRoute)

EXPLANATIONS: Final[dict[Verdict, str]] = {
    Verdict.UNKNOWN_USER: "There is no person with this user_id.",
    Verdict.FUTURE_TIMESTAMP: "occurred_at is more than 5 minutes ahead; check the clock.",
    Verdict.TOO_OLD: "occurred_at is more than 2 years ago.",
    Verdict.ID_CONFLICT: "This transaction_id was used with other content; use a new one.",
    Verdict.CURRENCY_MISMATCH: "This deployment works in another currency.",
}


@router.post("/ingest", response_model_exclude_unset=True)
async def ingest(
    client_id: Annotated[UUID, ClientWith("transactions:write")],
    batch: TransactionBatch,
    transactions: Transactions,
) -> IngestionOut:
    """Take in a batch; the answer holds a verdict for each item, and a replay stores nothing."""
    items = ReadItems(batch.transactions, model=TransactionIn, id_field="transaction_id")
    verdicts = await transactions.ingest(
        [item.at(index) for index, item in items.readable.items()], client_id=client_id
    )
    return IngestionOut.of(items, verdicts, explain=EXPLANATIONS.__getitem__)
