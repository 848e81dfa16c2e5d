"""Tables of credit: the record of each decision, the offers and the accounts."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from ecs.repositories.tables.columns import instant, minor_units, rate, reference, text_column

OFFER_STATUSES = "('offered', 'denied', 'referred', 'accepting', 'accepted', 'expired', 'void')"
# Kept word for word in the partial index and in every ON CONFLICT that names it.
ACTIVE_OFFER = "status IN ('offered', 'accepting')"
ACTIVE_ACCOUNT = "status = 'active'"
APR_RANGE = "apr >= 0 AND apr < 10"  # NaN sorts above every number, so it is refused too.


class RiskAssessmentRow(SQLModel, table=True):
    """
    Everything a decision was made from, and what it came to.

    Append-only: the application may insert and select. ``user_id`` refers to nobody on purpose,
    so that a person can be deleted while the record stays, pseudonymised.
    """

    __tablename__ = "risk_assessments"
    __table_args__ = (
        CheckConstraint("score BETWEEN -10000 AND 10000", name="risk_assessments_score_range"),
        CheckConstraint(
            "probability_of_default BETWEEN 0 AND 1",
            name="risk_assessments_probability_of_default_range",
        ),
        CheckConstraint("risk_score BETWEEN 0 AND 1", name="risk_assessments_risk_score_range"),
        CheckConstraint(
            "risk_category IN ('very_low', 'low', 'medium', 'high')",
            name="risk_assessments_risk_category_known",
        ),
        CheckConstraint(
            "num_nulls(score, probability_of_default, risk_score, risk_category) IN (0, 4)",
            name="risk_assessments_scored_whole_or_not",
        ),
        Index("risk_assessments_by_user", "user_id", text("decided_at DESC")),
        Index("risk_assessments_by_score", "risk_score"),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID
    decided_at: datetime = Field(sa_column=instant())
    request_id: str | None = Field(default=None, sa_column=text_column(nullable=True))
    model_id: str = Field(sa_column=text_column())
    model_version: str = Field(sa_column=text_column())
    model_sha256: str = Field(sa_column=text_column())
    policy_id: str = Field(sa_column=text_column())
    policy_version: str = Field(sa_column=text_column())
    policy_sha256: str = Field(sa_column=text_column())
    transaction_ids: list[UUID] = Field(sa_column=Column(ARRAY(Uuid), nullable=False))
    inputs_sha256: str = Field(sa_column=text_column())
    # None in decisions made before emotional data could take part.
    consent_ids: list[UUID] | None = Field(default=None, sa_column=Column(ARRAY(Uuid)))
    emotional_event_ids: list[UUID] | None = Field(default=None, sa_column=Column(ARRAY(Uuid)))
    emotional_client_ids: list[UUID] | None = Field(default=None, sa_column=Column(ARRAY(Uuid)))
    score: int | None = None
    probability_of_default: float | None = Field(default=None, sa_column=Column(Double))
    risk_score: float | None = Field(default=None, sa_column=Column(Double))
    risk_category: str | None = Field(default=None, sa_column=text_column(nullable=True))
    record: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class CreditOfferRow(SQLModel, table=True):
    """What one application came to: an offer and its life, a denial, or a referral."""

    __tablename__ = "credit_offers"
    __table_args__ = (
        UniqueConstraint("assessment_id", name="credit_offers_one_per_assessment"),
        UniqueConstraint("job_id", name="credit_offers_one_per_job"),
        Index(
            "credit_offers_one_active_per_user",
            "user_id",
            unique=True,
            postgresql_where=text(ACTIVE_OFFER),
        ),
        Index("credit_offers_by_user_newest_first", "user_id", text("id DESC")),
        Index("credit_offers_by_expiry", "expires_at", postgresql_where=text("status = 'offered'")),
        CheckConstraint(f"status IN {OFFER_STATUSES}", name="credit_offers_status_known"),
        CheckConstraint(
            "credit_type IN ('short_term', 'long_term')", name="credit_offers_credit_type_known"
        ),
        CheckConstraint("credit_limit_minor > 0", name="credit_offers_limit_positive"),
        CheckConstraint(APR_RANGE, name="credit_offers_apr_range"),
        CheckConstraint("tenor_months > 0", name="credit_offers_tenor_positive"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="credit_offers_currency_form"),
        CheckConstraint("expires_at > created_at", name="credit_offers_expire_later"),
        CheckConstraint(
            "num_nulls(credit_type, credit_limit_minor, apr, tenor_months, expires_at)"
            " = CASE WHEN status IN ('denied', 'referred') THEN 5 ELSE 0 END",
            name="credit_offers_terms_whole_or_none",
        ),
        CheckConstraint(
            "status NOT IN ('accepting', 'accepted') OR job_id IS NOT NULL",
            name="credit_offers_accepted_by_a_job",
        ),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=reference("users", "credit_offers_user_exists"))
    assessment_id: UUID = Field(
        sa_column=reference("risk_assessments", "credit_offers_assessment_exists")
    )
    status: str = Field(sa_column=text_column())
    credit_type: str | None = Field(default=None, sa_column=text_column(nullable=True))
    credit_limit_minor: int | None = Field(default=None, sa_column=minor_units(nullable=True))
    apr: Decimal | None = Field(default=None, sa_column=rate(nullable=True))
    currency: str = Field(sa_column=text_column())
    tenor_months: int | None = None
    expires_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
    created_at: datetime = Field(sa_column=instant())
    job_id: UUID | None = Field(
        default=None,
        sa_column=Column(
            Uuid,
            # Checked at commit: the job is written after the offer is won, in one transaction.
            ForeignKey(
                "jobs.id",
                name="credit_offers_job_exists",
                deferrable=True,
                initially="DEFERRED",
            ),
            nullable=True,
        ),
    )


class CreditAccountRow(SQLModel, table=True):
    """An open line of credit. One per accepted offer, one active per person."""

    __tablename__ = "credit_accounts"
    __table_args__ = (
        UniqueConstraint("offer_id", name="credit_accounts_one_per_offer"),
        Index(
            "credit_accounts_one_active_per_user",
            "user_id",
            unique=True,
            postgresql_where=text(ACTIVE_ACCOUNT),
        ),
        CheckConstraint("status IN ('active', 'closed')", name="credit_accounts_status_known"),
        CheckConstraint(
            "credit_type IN ('short_term', 'long_term')", name="credit_accounts_credit_type_known"
        ),
        CheckConstraint("credit_limit_minor > 0", name="credit_accounts_limit_positive"),
        CheckConstraint(
            "available_credit_minor BETWEEN 0 AND credit_limit_minor",
            name="credit_accounts_available_within_limit",
        ),
        CheckConstraint(APR_RANGE, name="credit_accounts_apr_range"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="credit_accounts_currency_form"),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=reference("users", "credit_accounts_user_exists"))
    offer_id: UUID = Field(sa_column=reference("credit_offers", "credit_accounts_offer_exists"))
    credit_type: str = Field(sa_column=text_column())
    credit_limit_minor: int = Field(sa_column=minor_units())
    available_credit_minor: int = Field(sa_column=minor_units())
    apr: Decimal = Field(sa_column=rate())
    currency: str = Field(sa_column=text_column())
    status: str = Field(sa_column=text_column())
    opened_at: datetime = Field(sa_column=instant())
