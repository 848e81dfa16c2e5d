"""The table of background jobs: the truth about them, whatever Redis remembers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from ecs.repositories.tables.columns import instant, reference, text_column

UNFINISHED = "status IN ('queued', 'running')"


class JobRow(SQLModel, table=True):
    """One piece of background work. Its id is the id of the outbox event that asked for it."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_unfinished", "id", postgresql_where=text(UNFINISHED)),
        CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed')", name="jobs_status_known"
        ),
        CheckConstraint("attempts >= 0", name="jobs_attempts_not_negative"),
        CheckConstraint(
            "(finished_at IS NULL) = (status IN ('queued', 'running'))",
            name="jobs_finished_when_done",
        ),
        CheckConstraint(
            "(error_code IS NOT NULL) = (status = 'failed')", name="jobs_error_when_failed"
        ),
        CheckConstraint(
            "leased_until IS NULL OR status = 'running'", name="jobs_leased_while_running"
        ),
    )

    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_column=text_column())
    user_id: UUID = Field(sa_column=reference("users", "jobs_user_exists"))
    status: str = Field(sa_column=text_column())
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    result: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    error_code: str | None = Field(default=None, sa_column=text_column(nullable=True))
    error_message: str | None = Field(default=None, sa_column=text_column(nullable=True))
    created_at: datetime = Field(sa_column=instant(server_default=text("now()")))
    started_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    leased_until: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    finished_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
