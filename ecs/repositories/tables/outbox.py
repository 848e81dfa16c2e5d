"""Tables of messages: those to carry away, and those already acted on."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from ecs.repositories.tables.columns import instant, text_column

WAITING = "published_at IS NULL AND parked_at IS NULL"


class OutboxEventRow(SQLModel, table=True):
    """A fact written in the transaction that caused it, until the relay has carried it away."""

    __tablename__ = "outbox_events"
    __table_args__ = (
        Index(
            "outbox_events_waiting", "destination", "available_at", postgresql_where=text(WAITING)
        ),
        Index("outbox_events_by_published", "published_at"),
        Index(
            "outbox_events_parked", "destination", postgresql_where=text("parked_at IS NOT NULL")
        ),
        CheckConstraint("attempt >= 1", name="outbox_events_attempt_positive"),
        CheckConstraint("failures >= 0", name="outbox_events_failures_not_negative"),
        CheckConstraint(
            "destination ~ '^(rq|amqp):[a-z0-9._-]+$'", name="outbox_events_destination_form"
        ),
    )

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_column=text_column())
    kind: str = Field(sa_column=text_column())
    destination: str = Field(sa_column=text_column())
    payload: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    request_id: str | None = Field(default=None, sa_column=text_column(nullable=True))
    trace_parent: str | None = Field(default=None, sa_column=text_column(nullable=True))
    attempt: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})
    failures: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    last_error: str | None = Field(default=None, sa_column=text_column(nullable=True))
    created_at: datetime = Field(sa_column=instant(server_default=text("now()")))
    available_at: datetime = Field(sa_column=instant(server_default=text("now()")))
    published_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    parked_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))


class ProcessedMessageRow(SQLModel, table=True):
    """A message that a consumer has acted on, noted in the transaction of its effect."""

    __tablename__ = "processed_messages"
    __table_args__ = (Index("processed_messages_by_age", "processed_at"),)

    consumer: str = Field(sa_column=Column(Text, primary_key=True))
    message_id: UUID = Field(primary_key=True)
    processed_at: datetime = Field(sa_column=instant(server_default=text("now()")))
