"""Tables of the audit: each access to protected data, and the seals over them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, LargeBinary, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from ecs.repositories.tables.columns import instant, text_column


class AuditLogRow(SQLModel, table=True):
    """
    One access to a PAN.

    Append-only; it refers to nothing, so that it outlives what it speaks of.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        CheckConstraint(
            "action IN ('ENCRYPT', 'DECRYPT', 'ROTATE')", name="audit_log_action_known"
        ),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = Field(sa_column=instant(server_default=text("clock_timestamp()")))
    actor: str = Field(sa_column=text_column())
    service: str = Field(sa_column=text_column())
    action: str = Field(sa_column=text_column())
    application_id: UUID
    request_id: str | None = Field(default=None, sa_column=text_column(nullable=True))


class AuditSealRow(SQLModel, table=True):
    """
    A seal over the rows from ``first_id`` to ``last_id``, chained to the seal before. Append-only.

    ``row_ids`` and ``row_digests`` name the rows one by one, so that the first broken one can be
    named.
    """

    __tablename__ = "audit_seals"
    __table_args__ = (
        CheckConstraint("id >= 1", name="audit_seals_numbered_from_one"),
        CheckConstraint("first_id <= last_id", name="audit_seals_range_in_order"),
        CheckConstraint(
            "cardinality(row_ids) >= 1 AND cardinality(row_ids) = cardinality(row_digests)",
            name="audit_seals_digest_for_each_row",
        ),
    )

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    first_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    row_ids: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))
    row_digests: list[bytes] = Field(sa_column=Column(ARRAY(LargeBinary), nullable=False))
    previous_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sealed_at: datetime = Field(sa_column=instant(server_default=text("now()")))
