"""The table of a person's financial transactions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from ecs.domain.credit.history import Category
from ecs.repositories.tables.columns import instant, minor_units, reference, text_column

_CATEGORIES_SQL = ", ".join(f"'{category}'" for category in Category)


class TransactionRow(SQLModel, table=True):
    """One movement of money; positive is money in. Identity is (client, transaction_id)."""

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("client_id", "transaction_id", name="transactions_once_per_client"),
        CheckConstraint("amount_minor <> 0", name="transactions_amount_not_zero"),
        CheckConstraint(
            "amount_minor BETWEEN -99999999999999 AND 99999999999999",
            name="transactions_amount_range",
        ),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="transactions_currency_form"),
        CheckConstraint(f"category IN ({_CATEGORIES_SQL})", name="transactions_category_known"),
        # The window of a decision: newest first, everything it reads in the index itself.
        Index(
            "transactions_by_user_newest_first",
            "user_id",
            text("occurred_at DESC"),
            text("id DESC"),
            postgresql_include=["amount_minor", "currency", "category"],
        ),
    )

    id: UUID = Field(primary_key=True)
    client_id: UUID = Field(sa_column=reference("clients", "transactions_client_exists"))
    transaction_id: UUID
    user_id: UUID = Field(sa_column=reference("users", "transactions_user_exists"))
    occurred_at: datetime = Field(sa_column=instant())
    amount_minor: int = Field(sa_column=minor_units())
    currency: str = Field(sa_column=text_column())
    category: str | None = Field(default=None, sa_column=text_column(nullable=True))
    ingested_at: datetime = Field(sa_column=instant(server_default=text("now()")))
