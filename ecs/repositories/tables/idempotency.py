"""The table of requests that must have one effect, however often they are sent."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from ecs.repositories.tables.columns import instant


class IdempotencyKeyRow(SQLModel, table=True):
    """
    A request that succeeded under an ``Idempotency-Key``, and the result that it got.

    Both the scope (caller, method, route, key) and the payload are HMACs: whatever a client put
    into its key stays unknown.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint(
            "octet_length(scope) = 32 AND octet_length(payload) = 32",
            name="idempotency_keys_are_hmacs",
        ),
        Index("idempotency_keys_by_age", "created_at"),
    )

    scope: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    payload: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    result: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=instant(server_default=text("now()")))
