"""Rows whose columns are arrays, as the histories that decisions are made from."""

from typing import Any

from sqlalchemy import Row

from ecs.domain.credit.emotional_history import EmotionalHistory
from ecs.domain.credit.history import TransactionHistory


def transaction_history(row: Row[Any]) -> TransactionHistory:
    """Return the transactions of a row that has their columns under these names."""
    return TransactionHistory(
        ids=tuple(row.ids),
        occurred_at=tuple(row.occurred_at),
        amounts_minor=tuple(row.amounts_minor),
        categories=tuple(row.categories),
    )


def emotional_history(row: Row[Any]) -> EmotionalHistory:
    """Return the emotional events of a row that has their columns under these names."""
    return EmotionalHistory(
        event_ids=tuple(row.event_ids),
        client_ids=tuple(row.event_client_ids),
        captured_at=tuple(row.captured_at),
        emotions=tuple(row.emotions),
        confidences=tuple(row.confidences),
        valences=tuple(row.valences),
    )
