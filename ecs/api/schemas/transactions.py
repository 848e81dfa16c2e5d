"""JSON shapes of transactions."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictStr
from pydantic_core import PydanticCustomError

from ecs.api.schemas.common import MoneyText
from ecs.api.schemas.ingestion import batch_field
from ecs.domain.credit.history import Category
from ecs.domain.money import Money
from ecs.domain.transactions import IncomingTransaction
from ecs.wire.forms import Body, Instant, StrictUuid, one_of


def _check_not_zero(amount: str) -> str:
    if Money.parse(amount).cents == 0:
        raise PydanticCustomError("out_of_range", "An amount is not zero.")
    return amount


class TransactionIn(Body):
    """One movement of money; ``amount`` is positive for money in, in units of ``currency``."""

    transaction_id: StrictUuid
    user_id: StrictUuid
    occurred_at: Instant
    amount: Annotated[MoneyText, AfterValidator(_check_not_zero)]
    currency: Annotated[StrictStr, Field(pattern=r"^[A-Z]{3}$")]
    category: Annotated[StrictStr, *one_of(Category)] | None = None

    def at(self, index: int) -> IncomingTransaction:
        """Return the domain's value of this item, at its place in the batch."""
        return IncomingTransaction(
            index=index,
            transaction_id=self.transaction_id,
            user_id=self.user_id,
            occurred_at=self.occurred_at,
            amount_minor=Money.parse(self.amount).cents,
            currency=self.currency,
            category=self.category,
        )


class TransactionBatch(Body):
    """1 to 1,000 transactions of any people; each is judged alone."""

    transactions: Annotated[list[Any], *batch_field(TransactionIn)]
