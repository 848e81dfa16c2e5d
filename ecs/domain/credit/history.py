"""What a person's account has seen: the rows a decision is made from, column by column."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from ecs.domain.period import canonical_moment


class Category(StrEnum):
    """What a transaction was for. The values are part of the public API."""

    INCOME = "income"
    TRANSFER = "transfer"
    HOUSING = "housing"
    UTILITIES = "utilities"
    GROCERIES = "groceries"
    TRANSPORT = "transport"
    HEALTH = "health"
    DINING = "dining"
    SHOPPING = "shopping"
    LEISURE = "leisure"
    CASH = "cash"
    DEBT_PAYMENT = "debt_payment"
    FEE = "fee"
    GAMBLING = "gambling"
    OTHER = "other"


ESSENTIALS: Final[frozenset[str]] = frozenset(
    {
        Category.HOUSING,
        Category.UTILITIES,
        Category.GROCERIES,
        Category.TRANSPORT,
        Category.HEALTH,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionHistory:
    """
    The rows of the window, already cut to the limit, as columns of equal length.

    Amounts are signed cents: money in above zero. A row may have no category.
    """

    ids: tuple[UUID, ...]
    occurred_at: tuple[datetime, ...]
    amounts_minor: tuple[int, ...]
    categories: tuple[str | None, ...]

    def __post_init__(self) -> None:
        lengths = {
            len(self.ids),
            len(self.occurred_at),
            len(self.amounts_minor),
            len(self.categories),
        }
        if len(lengths) > 1:
            raise ValueError("the columns of a history differ in length")
        if any(moment.tzinfo is None for moment in self.occurred_at):
            raise ValueError("a moment of a history has no time zone")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def categorised(self) -> bool:
        """Whether at least one row says what it was for."""
        return any(category is not None for category in self.categories)

    def sorted_ids(self) -> tuple[UUID, ...]:
        """Return the ids of all rows in ascending order, whatever order they came in."""
        return tuple(sorted(self.ids))

    def sha256(self) -> str:
        """
        Return the hex digest of the canonical form of all rows.

        The form is a JSON array, without spaces, of ``[id, occurred_at, amount_minor, category]``
        in the order of the ids; moments are ISO 8601 in UTC with microseconds.
        """
        rows = sorted(
            zip(
                map(str, self.ids),
                map(canonical_moment, self.occurred_at),
                self.amounts_minor,
                self.categories,
                strict=True,
            ),
            key=lambda row: row[0],
        )
        return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
