"""core tables.

Revision: 202611210530
Revises: nothing
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "202611210530"
down_revision: str | None = None
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hmac", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("token_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("cardinality(scopes) >= 1", name="clients_have_a_scope"),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="clients_name_length"),
        sa.CheckConstraint("octet_length(secret_hmac) = 32", name="clients_secret_hmac_length"),
        sa.CheckConstraint("token_version >= 0", name="clients_token_version_not_negative"),
        sa.PrimaryKeyConstraint("id", name=op.f("clients_pkey")),
    )
    op.create_table(
        "outbox_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "available_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "destination ~ '^(rq|amqp):[a-z0-9._-]+$'", name="outbox_events_destination_form"
        ),
        sa.CheckConstraint("attempt >= 1", name="outbox_events_attempt_positive"),
        sa.CheckConstraint("failures >= 0", name="outbox_events_failures_not_negative"),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_events_pkey")),
    )
    op.create_index("outbox_events_by_published", "outbox_events", ["published_at"], unique=False)
    op.create_index(
        "outbox_events_waiting",
        "outbox_events",
        ["destination", "available_at"],
        unique=False,
        postgresql_where=sa.text("published_at IS NULL AND parked_at IS NULL"),
    )
    op.create_table(
        "processed_messages",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column(
            "processed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("consumer", "message_id", name=op.f("processed_messages_pkey")),
    )
    op.create_index(
        "processed_messages_by_age", "processed_messages", ["processed_at"], unique=False
    )
    op.create_table(
        "risk_assessments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("model_sha256", sa.Text(), nullable=False),
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("policy_sha256", sa.Text(), nullable=False),
        sa.Column("transaction_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("inputs_sha256", sa.Text(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("probability_of_default", sa.Double(), nullable=True),
        sa.Column("risk_score", sa.Double(), nullable=True),
        sa.Column("risk_category", sa.Text(), nullable=True),
        sa.Column("record", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "risk_category IN ('very_low', 'low', 'medium', 'high')",
            name="risk_assessments_risk_category_known",
        ),
        sa.CheckConstraint(
            "num_nulls(score, probability_of_default, risk_score, risk_category) IN (0, 4)",
            name="risk_assessments_scored_whole_or_not",
        ),
        sa.CheckConstraint(
            "probability_of_default BETWEEN 0 AND 1",
            name="risk_assessments_probability_of_default_range",
        ),
        sa.CheckConstraint("risk_score BETWEEN 0 AND 1", name="risk_assessments_risk_score_range"),
        sa.CheckConstraint("score BETWEEN -10000 AND 10000", name="risk_assessments_score_range"),
        sa.PrimaryKeyConstraint("id", name=op.f("risk_assessments_pkey")),
    )
    op.create_index("risk_assessments_by_score", "risk_assessments", ["risk_score"], unique=False)
    op.create_index(
        "risk_assessments_by_user",
        "risk_assessments",
        ["user_id", sa.literal_column("decided_at DESC")],
        unique=False,
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("token_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("char_length(email) BETWEEN 3 AND 320", name="users_email_length"),
        sa.CheckConstraint(
            "char_length(full_name) BETWEEN 1 AND 200", name="users_full_name_length"
        ),
        sa.CheckConstraint("token_version >= 0", name="users_token_version_not_negative"),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
    )
    op.create_index(
        "users_email_is_unique", "users", [sa.literal_column("lower(email)")], unique=True
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(error_code IS NOT NULL) = (status = 'failed')", name="jobs_error_when_failed"
        ),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (status IN ('queued', 'running'))",
            name="jobs_finished_when_done",
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed')", name="jobs_status_known"
        ),
        sa.CheckConstraint("attempts >= 0", name="jobs_attempts_not_negative"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="jobs_user_exists"),
        sa.PrimaryKeyConstraint("id", name=op.f("jobs_pkey")),
    )
    op.create_index(
        "jobs_unfinished",
        "jobs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.create_table(
        "transactions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column(
            "ingested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "category IN ('income', 'transfer', 'housing', 'utilities', 'groceries', 'transport', 'health', 'dining', 'shopping', 'leisure', 'cash', 'debt_payment', 'fee', 'gambling', 'other')",
            name="transactions_category_known",
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="transactions_currency_form"),
        sa.CheckConstraint("amount_minor <> 0", name="transactions_amount_not_zero"),
        sa.CheckConstraint(
            "amount_minor BETWEEN -99999999999999 AND 99999999999999",
            name="transactions_amount_range",
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="transactions_client_exists"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="transactions_user_exists"),
        sa.PrimaryKeyConstraint("id", name=op.f("transactions_pkey")),
        sa.UniqueConstraint("client_id", "transaction_id", name="transactions_once_per_client"),
    )
    op.create_index(
        "transactions_by_user_newest_first",
        "transactions",
        ["user_id", sa.literal_column("occurred_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_include=["amount_minor", "currency", "category"],
    )
    op.create_table(
        "credit_offers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("assessment_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("credit_type", sa.Text(), nullable=True),
        sa.Column("credit_limit_minor", sa.BigInteger(), nullable=True),
        sa.Column("apr", sa.Numeric(precision=9, scale=6), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("tenor_months", sa.Integer(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "credit_type IN ('short_term', 'long_term')", name="credit_offers_credit_type_known"
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="credit_offers_currency_form"),
        sa.CheckConstraint(
            "num_nulls(credit_type, credit_limit_minor, apr, tenor_months, expires_at) = CASE WHEN status IN ('denied', 'referred') THEN 5 ELSE 0 END",
            name="credit_offers_terms_whole_or_none",
        ),
        sa.CheckConstraint(
            "status IN ('offered', 'denied', 'referred', 'accepting', 'accepted', 'expired', 'void')",
            name="credit_offers_status_known",
        ),
        sa.CheckConstraint(
            "status NOT IN ('accepting', 'accepted') OR job_id IS NOT NULL",
            name="credit_offers_accepted_by_a_job",
        ),
        sa.CheckConstraint("apr >= 0 AND apr < 10", name="credit_offers_apr_range"),
        sa.CheckConstraint("credit_limit_minor > 0", name="credit_offers_limit_positive"),
        sa.CheckConstraint("expires_at > created_at", name="credit_offers_expire_later"),
        sa.CheckConstraint("tenor_months > 0", name="credit_offers_tenor_positive"),
        sa.ForeignKeyConstraint(
            ["assessment_id"], ["risk_assessments.id"], name="credit_offers_assessment_exists"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.id"],
            name="credit_offers_job_exists",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="credit_offers_user_exists"),
        sa.PrimaryKeyConstraint("id", name=op.f("credit_offers_pkey")),
        sa.UniqueConstraint("assessment_id", name="credit_offers_one_per_assessment"),
        sa.UniqueConstraint("job_id", name="credit_offers_one_per_job"),
    )
    op.create_index(
        "credit_offers_by_expiry",
        "credit_offers",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'offered'"),
    )
    op.create_index(
        "credit_offers_by_user_newest_first",
        "credit_offers",
        ["user_id", sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "credit_offers_one_active_per_user",
        "credit_offers",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('offered', 'accepting')"),
    )
    op.create_table(
        "credit_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("credit_type", sa.Text(), nullable=False),
        sa.Column("credit_limit_minor", sa.BigInteger(), nullable=False),
        sa.Column("available_credit_minor", sa.BigInteger(), nullable=False),
        sa.Column("apr", sa.Numeric(precision=9, scale=6), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "credit_type IN ('short_term', 'long_term')", name="credit_accounts_credit_type_known"
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="credit_accounts_currency_form"),
        sa.CheckConstraint("status IN ('active', 'closed')", name="credit_accounts_status_known"),
        sa.CheckConstraint("apr >= 0 AND apr < 10", name="credit_accounts_apr_range"),
        sa.CheckConstraint(
            "available_credit_minor BETWEEN 0 AND credit_limit_minor",
            name="credit_accounts_available_within_limit",
        ),
        sa.CheckConstraint("credit_limit_minor > 0", name="credit_accounts_limit_positive"),
        sa.ForeignKeyConstraint(
            ["offer_id"], ["credit_offers.id"], name="credit_accounts_offer_exists"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="credit_accounts_user_exists"),
        sa.PrimaryKeyConstraint("id", name=op.f("credit_accounts_pkey")),
        sa.UniqueConstraint("offer_id", name="credit_accounts_one_per_offer"),
    )
    op.create_index(
        "credit_accounts_one_active_per_user",
        "credit_accounts",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("offer_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('account_opened', 'acceptance_refused', 'acceptance_failed')",
            name="notifications_kind_known",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="notifications_job_exists"),
        sa.ForeignKeyConstraint(
            ["offer_id"], ["credit_offers.id"], name="notifications_offer_exists"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="notifications_user_exists"),
        sa.PrimaryKeyConstraint("id", name=op.f("notifications_pkey")),
        sa.UniqueConstraint("job_id", "kind", name="notifications_once_per_job"),
    )
    op.create_index(
        "notifications_by_user_newest_first",
        "notifications",
        ["user_id", sa.literal_column("id DESC")],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("notifications_by_user_newest_first", table_name="notifications")
    op.drop_table("notifications")
    op.drop_index(
        "credit_accounts_one_active_per_user",
        table_name="credit_accounts",
        postgresql_where=sa.text("status = 'active'"),
    )
    op.drop_table("credit_accounts")
    op.drop_index(
        "credit_offers_one_active_per_user",
        table_name="credit_offers",
        postgresql_where=sa.text("status IN ('offered', 'accepting')"),
    )
    op.drop_index("credit_offers_by_user_newest_first", table_name="credit_offers")
    op.drop_index(
        "credit_offers_by_expiry",
        table_name="credit_offers",
        postgresql_where=sa.text("status = 'offered'"),
    )
    op.drop_table("credit_offers")
    op.drop_index(
        "transactions_by_user_newest_first",
        table_name="transactions",
        postgresql_include=["amount_minor", "currency", "category"],
    )
    op.drop_table("transactions")
    op.drop_index(
        "jobs_unfinished",
        table_name="jobs",
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.drop_table("jobs")
    op.drop_index("users_email_is_unique", table_name="users")
    op.drop_table("users")
    op.drop_index("risk_assessments_by_user", table_name="risk_assessments")
    op.drop_index("risk_assessments_by_score", table_name="risk_assessments")
    op.drop_table("risk_assessments")
    op.drop_index("processed_messages_by_age", table_name="processed_messages")
    op.drop_table("processed_messages")
    op.drop_index(
        "outbox_events_waiting",
        table_name="outbox_events",
        postgresql_where=sa.text("published_at IS NULL AND parked_at IS NULL"),
    )
    op.drop_index("outbox_events_by_published", table_name="outbox_events")
    op.drop_table("outbox_events")
    op.drop_table("clients")
