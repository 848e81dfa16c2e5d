"""The ledger of consents."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from ecs.repositories.tables.columns import instant, reference, text_column


class ConsentChangeRow(SQLModel, table=True):
    """
    One grant or withdrawal. Append-only: the application may insert and select.

    Odd revisions grant, even ones withdraw what the revision before them granted: a consent stands
    where the newest revision is odd, and of two changes made at once only one can have the number.
    ``user_id`` refers to nobody on purpose, so that the proof outlives the person, pseudonymised.
    """

    __tablename__ = "consent_changes"
    __table_args__ = (
        UniqueConstraint(
            "user_id",
            "purpose",
            "client_id",
            "revision",
            name="consent_changes_one_after_the_other",
        ),
        CheckConstraint("revision >= 1", name="consent_changes_revision_positive"),
        CheckConstraint(
            "(revision % 2 = 1) = (consent_id = id)", name="consent_changes_grant_then_withdraw"
        ),
        CheckConstraint(
            "num_nulls(locale, text_version, text_sha256)"
            " = CASE WHEN consent_id = id THEN 0 ELSE 3 END",
            name="consent_changes_grant_names_its_text",
        ),
    )

    id: UUID = Field(primary_key=True)
    consent_id: UUID = Field(
        sa_column=reference("consent_changes", "consent_changes_consent_exists")
    )
    user_id: UUID
    client_id: UUID = Field(sa_column=reference("clients", "consent_changes_client_exists"))
    purpose: str = Field(sa_column=text_column())
    revision: int
    locale: str | None = Field(default=None, sa_column=text_column(nullable=True))
    text_version: str | None = Field(default=None, sa_column=text_column(nullable=True))
    text_sha256: str | None = Field(default=None, sa_column=text_column(nullable=True))
    changed_at: datetime = Field(sa_column=instant(server_default=text("now()")))
    request_id: str | None = Field(default=None, sa_column=text_column(nullable=True))
