"""The table of what people are told."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from ecs.repositories.tables.columns import instant, reference, text_column


class NotificationRow(SQLModel, table=True):
    """One message to one person, at most one of each kind for one job."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("job_id", "kind", name="notifications_once_per_job"),
        Index("notifications_by_user_newest_first", "user_id", text("id DESC")),
        CheckConstraint(
            "kind IN ('account_opened', 'acceptance_refused', 'acceptance_failed')",
            name="notifications_kind_known",
        ),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=reference("users", "notifications_user_exists"))
    job_id: UUID | None = Field(
        default=None, sa_column=reference("jobs", "notifications_job_exists", nullable=True)
    )
    offer_id: UUID | None = Field(
        default=None,
        sa_column=reference("credit_offers", "notifications_offer_exists", nullable=True),
    )
    kind: str = Field(sa_column=text_column())
    title: str = Field(sa_column=text_column())
    body: str = Field(sa_column=text_column())
    created_at: datetime = Field(sa_column=instant(server_default=text("now()")))
    read_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
