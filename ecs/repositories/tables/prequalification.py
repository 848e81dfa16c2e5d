"""Tables of loan prequalification: applications, how they moved, and the bureau's reports."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Computed, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import TSTZRANGE, ExcludeConstraint
from sqlmodel import Field, SQLModel

from ecs.repositories.tables.columns import instant, minor_units, reference, text_column

ACTIVE = "status IN ('PENDING', 'MANUAL_REVIEW', 'PRE_APPROVED')"
STATUSES = "('PENDING', 'MANUAL_REVIEW', 'PRE_APPROVED', 'REJECTED')"
# The cipher's form: a version, the length of the key's id, the id, then what it made. Any bytes are
# read as something: whoever tampers with them is found out by the cipher, not here.
KEY_ID = (
    "CASE WHEN octet_length(pan_ciphertext) > 2 THEN"
    " encode(substring(pan_ciphertext FROM 3 FOR get_byte(pan_ciphertext, 1)), 'escape')"
    " ELSE '' END"
)


class PrequalificationApplicationRow(SQLModel, table=True):
    """
    An application for prequalification. Of its PAN, a ciphertext, an HMAC and a mask.

    ``version`` grows with each change of the status, and with nothing else.
    """

    __tablename__ = "prequalification_applications"
    __table_args__ = (
        CheckConstraint(f"status IN {STATUSES}", name="prequalification_applications_status_known"),
        CheckConstraint(
            "loan_type IN ('PERSONAL', 'HOME', 'AUTO')",
            name="prequalification_applications_loan_type_known",
        ),
        CheckConstraint(
            "pan_masked ~ '^X{6}[0-9]{3}[A-Z]$'", name="prequalification_applications_pan_masked"
        ),
        CheckConstraint(
            "octet_length(pan_blind_index) = 32", name="prequalification_applications_blind_index"
        ),
        CheckConstraint(
            "monthly_income_minor > 0 AND loan_amount_minor > 0",
            name="prequalification_applications_amounts_positive",
        ),
        CheckConstraint("version >= 1", name="prequalification_applications_version_positive"),
        CheckConstraint(
            "(status = 'PENDING') = (decision_reason IS NULL)"
            " AND (decision_reason IS NULL) = (policy IS NULL)",
            name="prequalification_applications_decided_with_reason",
        ),
        CheckConstraint(
            "(status = 'PRE_APPROVED') = (max_approved_minor IS NOT NULL)",
            name="prequalification_applications_approved_with_amount",
        ),
        ExcludeConstraint(
            ("pan_blind_index", "="),
            ("duplicate_period", "&&"),
            using="gist",
            where=text(ACTIVE),
            name="prequalification_applications_one_active_per_pan",
        ),
        Index("prequalification_applications_by_user", "user_id", text("id DESC")),
        Index(
            "prequalification_applications_in_review",
            "id",
            postgresql_where=text("status = 'MANUAL_REVIEW'"),
        ),
        Index(
            "prequalification_applications_pending",
            "created_at",
            postgresql_where=text("status = 'PENDING'"),
        ),
        Index("prequalification_applications_by_key", "pan_key_id", "id"),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=reference("users", "prequalification_applications_user_exists"))
    pan_ciphertext: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    pan_key_id: str = Field(
        sa_column=Column(Text, Computed(KEY_ID, persisted=True), nullable=False)
    )
    pan_blind_index: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    pan_masked: str = Field(sa_column=text_column())
    applicant_name: str = Field(sa_column=text_column())
    loan_type: str = Field(sa_column=text_column())
    monthly_income_minor: int = Field(sa_column=minor_units())
    loan_amount_minor: int = Field(sa_column=minor_units())
    status: str = Field(sa_column=text_column())
    version: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})
    decision_reason: str | None = Field(default=None, sa_column=text_column(nullable=True))
    max_approved_minor: int | None = Field(default=None, sa_column=minor_units(nullable=True))
    policy: str | None = Field(default=None, sa_column=text_column(nullable=True))
    duplicate_period: Any = Field(sa_column=Column(TSTZRANGE, nullable=False))
    created_at: datetime = Field(sa_column=instant(server_default=text("now()")))
    updated_at: datetime = Field(sa_column=instant(server_default=text("now()")))


class PrequalificationStatusChangeRow(SQLModel, table=True):
    """One status of an application. Append-only; an officer's decision names the client."""

    __tablename__ = "prequalification_status_changes"
    __table_args__ = (
        CheckConstraint(
            f"status IN {STATUSES}", name="prequalification_status_changes_status_known"
        ),
        CheckConstraint("version >= 1", name="prequalification_status_changes_version_positive"),
    )

    application_id: UUID = Field(
        sa_column=reference(
            "prequalification_applications",
            "prequalification_status_changes_application_exists",
            primary_key=True,
        )
    )
    version: int = Field(primary_key=True)
    status: str = Field(sa_column=text_column())
    at: datetime = Field(sa_column=instant(server_default=text("now()")))
    reviewed_by: UUID | None = Field(
        default=None,
        sa_column=reference(
            "clients", "prequalification_status_changes_client_exists", nullable=True
        ),
    )
    request_id: str | None = Field(default=None, sa_column=text_column(nullable=True))


class CreditReportRow(SQLModel, table=True):
    """What a bureau said about an application. Append-only, one each."""

    __tablename__ = "credit_reports"
    __table_args__ = (
        CheckConstraint("cibil_score BETWEEN 300 AND 900", name="credit_reports_score_range"),
    )

    application_id: UUID = Field(
        sa_column=reference(
            "prequalification_applications",
            "credit_reports_application_exists",
            primary_key=True,
        )
    )
    cibil_score: int
    bureau: str = Field(sa_column=text_column())
    reported_at: datetime = Field(sa_column=instant(server_default=text("now()")))
