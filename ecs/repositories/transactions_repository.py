"""Writes of transactions: a whole batch in one statement."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.transactions import IncomingTransaction, Verdict
from ecs.repositories.ingestion import ingest_seeing_everything

# Of equal ids in one batch the first known person's item wins; the others are held against it.
# Rows are written in the order of their ids, so that two batches cannot deadlock; people are held
# until the end, so that nobody is forgotten between the check and the row.
_INGEST: Final = text("""
WITH incoming AS (
    SELECT * FROM unnest(
        CAST(:indexes AS int[]), CAST(:ids AS uuid[]), CAST(:transaction_ids AS uuid[]),
        CAST(:user_ids AS uuid[]), CAST(:occurred_at AS timestamptz[]),
        CAST(:amounts AS bigint[]), CAST(:currencies AS text[]), CAST(:categories AS text[])
    ) AS t (place, id, transaction_id, user_id, occurred_at, amount_minor, currency, category)
), known AS (
    SELECT incoming.* FROM incoming JOIN users ON users.id = incoming.user_id
    FOR KEY SHARE OF users
), winner AS (
    SELECT DISTINCT ON (transaction_id) * FROM known ORDER BY transaction_id, place
), written AS (
    INSERT INTO transactions
        (id, client_id, transaction_id, user_id, occurred_at, amount_minor, currency, category)
    SELECT id, :client_id, transaction_id, user_id, occurred_at, amount_minor, currency, category
    FROM winner ORDER BY transaction_id
    ON CONFLICT ON CONSTRAINT transactions_once_per_client DO NOTHING
    RETURNING id
)
SELECT incoming.place,
       known.place IS NOT NULL AS is_known,
       written.id IS NOT NULL AND winner.place = incoming.place AS is_written,
       written.id IS NOT NULL OR stored.id IS NOT NULL AS is_seen,
       (incoming.user_id, incoming.occurred_at, incoming.amount_minor, incoming.currency,
        incoming.category)
       IS NOT DISTINCT FROM
       (coalesce(stored.user_id, winner.user_id), coalesce(stored.occurred_at, winner.occurred_at),
        coalesce(stored.amount_minor, winner.amount_minor),
        coalesce(stored.currency, winner.currency),
        CASE WHEN stored.id IS NULL THEN winner.category ELSE stored.category END) AS is_equal
FROM incoming
LEFT JOIN known ON known.place = incoming.place
LEFT JOIN winner ON winner.transaction_id = incoming.transaction_id
LEFT JOIN written ON written.id = winner.id
LEFT JOIN transactions AS stored
       ON stored.client_id = :client_id AND stored.transaction_id = incoming.transaction_id
ORDER BY incoming.place
""")


class TransactionsRepository:
    """Movements of money."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def ingest(
        self, items: Sequence[IncomingTransaction], *, client_id: UUID, ids: Sequence[UUID]
    ) -> dict[int, Verdict]:
        """
        Store what is new in one round trip; return a verdict for each item's index.

        ``ids`` are the row ids to use, one an item.
        """
        row_ids = {item.index: row_id for item, row_id in zip(items, ids, strict=True)}
        once = partial(self._ingest_once, client_id=client_id, row_ids=row_ids)
        return await ingest_seeing_everything(once, items, otherwise=Verdict.ID_CONFLICT)

    async def _ingest_once(
        self,
        items: Sequence[IncomingTransaction],
        *,
        client_id: UUID,
        row_ids: Mapping[int, UUID],
    ) -> dict[int, Verdict | None]:
        rows = await self._session.execute(
            _INGEST,
            {
                "client_id": client_id,
                "ids": [row_ids[item.index] for item in items],
                "indexes": [item.index for item in items],
                "transaction_ids": [item.transaction_id for item in items],
                "user_ids": [item.user_id for item in items],
                "occurred_at": [item.occurred_at for item in items],
                "amounts": [item.amount_minor for item in items],
                "currencies": [item.currency for item in items],
                "categories": [item.category for item in items],
            },
        )
        return {
            row.place: _verdict(
                known=row.is_known, written=row.is_written, seen=row.is_seen, equal=row.is_equal
            )
            for row in rows
        }


def _verdict(*, known: bool, written: bool, seen: bool, equal: bool) -> Verdict | None:
    if not known:
        return Verdict.UNKNOWN_USER
    if written:
        return Verdict.ACCEPTED
    if not seen:
        return None
    return Verdict.DUPLICATE if equal else Verdict.ID_CONFLICT
