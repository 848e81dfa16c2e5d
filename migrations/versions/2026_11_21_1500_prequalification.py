"""prequalification, its audit, and idempotency keys.

Revision: 202611211500
Revises: 202611211055
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "202611211500"
down_revision: str | None = "202611211055"
branch_labels: None = None
depends_on: None = None


PAN_KEY_ID = (
    "CASE WHEN octet_length(pan_ciphertext) > 2 THEN"
    " encode(substring(pan_ciphertext FROM 3 FOR get_byte(pan_ciphertext, 1)), 'escape')"
    " ELSE '' END"
)


def upgrade() -> None:
    # Equality of bytes inside an exclusion constraint. A trusted extension: the owner may make it.
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("application_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "action IN ('ENCRYPT', 'DECRYPT', 'ROTATE')", name="audit_log_action_known"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
    )
    op.create_table(
        "audit_seals",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("row_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("row_digests", postgresql.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "cardinality(row_ids) >= 1 AND cardinality(row_ids) = cardinality(row_digests)",
            name="audit_seals_digest_for_each_row",
        ),
        sa.CheckConstraint("first_id <= last_id", name="audit_seals_range_in_order"),
        sa.CheckConstraint("id >= 1", name="audit_seals_numbered_from_one"),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_seals_pkey")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "octet_length(scope) = 32 AND octet_length(payload) = 32",
            name="idempotency_keys_are_hmacs",
        ),
        sa.PrimaryKeyConstraint("scope", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "prequalification_applications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("pan_ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("pan_key_id", sa.Text(), sa.Computed(PAN_KEY_ID, persisted=True), nullable=False),
        sa.Column("pan_blind_index", sa.LargeBinary(), nullable=False),
        sa.Column("pan_masked", sa.Text(), nullable=False),
        sa.Column("applicant_name", sa.Text(), nullable=False),
        sa.Column("loan_type", sa.Text(), nullable=False),
        sa.Column("monthly_income_minor", sa.BigInteger(), nullable=False),
        sa.Column("loan_amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        sa.Column("max_approved_minor", sa.BigInteger(), nullable=True),
        sa.Column("policy", sa.Text(), nullable=True),
        sa.Column("duplicate_period", postgresql.TSTZRANGE(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        postgresql.ExcludeConstraint(
            (sa.column("pan_blind_index"), "="),
            (sa.column("duplicate_period"), "&&"),
            where=sa.text("status IN ('PENDING', 'MANUAL_REVIEW', 'PRE_APPROVED')"),
            using="gist",
            name="prequalification_applications_one_active_per_pan",
        ),
        sa.CheckConstraint(
            "(status = 'PENDING') = (decision_reason IS NULL) AND (decision_reason IS NULL) = (policy IS NULL)",
            name="prequalification_applications_decided_with_reason",
        ),
        sa.CheckConstraint(
            "(status = 'PRE_APPROVED') = (max_approved_minor IS NOT NULL)",
            name="prequalification_applications_approved_with_amount",
        ),
        sa.CheckConstraint(
            "loan_type IN ('PERSONAL', 'HOME', 'AUTO')",
            name="prequalification_applications_loan_type_known",
        ),
        sa.CheckConstraint(
            "pan_masked ~ '^X{6}[0-9]{3}[A-Z]$'", name="prequalification_applications_pan_masked"
        ),
        sa.CheckConstraint(
            "status IN ('PENDING', 'MANUAL_REVIEW', 'PRE_APPROVED', 'REJECTED')",
            name="prequalification_applications_status_known",
        ),
        sa.CheckConstraint(
            "monthly_income_minor > 0 AND loan_amount_minor > 0",
            name="prequalification_applications_amounts_positive",
        ),
        sa.CheckConstraint(
            "octet_length(pan_blind_index) = 32", name="prequalification_applications_blind_index"
        ),
        sa.CheckConstraint("version >= 1", name="prequalification_applications_version_positive"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="prequalification_applications_user_exists"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("prequalification_applications_pkey")),
    )
    op.create_index(
        "prequalification_applications_by_key",
        "prequalification_applications",
        ["pan_key_id", "id"],
        unique=False,
    )
    op.create_index(
        "prequalification_applications_by_user",
        "prequalification_applications",
        ["user_id", sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "prequalification_applications_in_review",
        "prequalification_applications",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'MANUAL_REVIEW'"),
    )
    op.create_table(
        "credit_reports",
        sa.Column("application_id", sa.Uuid(), nullable=False),
        sa.Column("cibil_score", sa.Integer(), nullable=False),
        sa.Column("bureau", sa.Text(), nullable=False),
        sa.Column(
            "reported_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("cibil_score BETWEEN 300 AND 900", name="credit_reports_score_range"),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["prequalification_applications.id"],
            name="credit_reports_application_exists",
        ),
        sa.PrimaryKeyConstraint("application_id", name=op.f("credit_reports_pkey")),
    )
    op.create_table(
        "prequalification_status_changes",
        sa.Column("application_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("reviewed_by", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('PENDING', 'MANUAL_REVIEW', 'PRE_APPROVED', 'REJECTED')",
            name="prequalification_status_changes_status_known",
        ),
        sa.CheckConstraint("version >= 1", name="prequalification_status_changes_version_positive"),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["prequalification_applications.id"],
            name="prequalification_status_changes_application_exists",
        ),
        sa.ForeignKeyConstraint(
            ["reviewed_by"], ["clients.id"], name="prequalification_status_changes_client_exists"
        ),
        sa.PrimaryKeyConstraint(
            "application_id", "version", name=op.f("prequalification_status_changes_pkey")
        ),
    )


def downgrade() -> None:
    # The program of then has no destination for them.
    op.execute("DELETE FROM outbox_events WHERE destination = 'amqp:ecs.domain'")
    op.drop_table("prequalification_status_changes")
    op.drop_table("credit_reports")
    op.drop_index(
        "prequalification_applications_in_review",
        table_name="prequalification_applications",
        postgresql_where=sa.text("status = 'MANUAL_REVIEW'"),
    )
    op.drop_index(
        "prequalification_applications_by_user", table_name="prequalification_applications"
    )
    op.drop_index(
        "prequalification_applications_by_key", table_name="prequalification_applications"
    )
    op.drop_table("prequalification_applications")
    op.drop_index("idempotency_keys_by_age", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("audit_seals")
    op.drop_table("audit_log")
    # The extension stays: it may have been there before, and be somebody else's.
