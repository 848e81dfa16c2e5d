"""consents and emotional events.

Revision: 202611210735
Revises: 202611210530
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "202611210735"
down_revision: str | None = "202611210530"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "consent_changes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("text_version", sa.Text(), nullable=True),
        sa.Column("text_sha256", sa.Text(), nullable=True),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(revision % 2 = 1) = (consent_id = id)", name="consent_changes_grant_then_withdraw"
        ),
        sa.CheckConstraint(
            "num_nulls(locale, text_version, text_sha256) = CASE WHEN consent_id = id THEN 0 ELSE 3 END",
            name="consent_changes_grant_names_its_text",
        ),
        sa.CheckConstraint("revision >= 1", name="consent_changes_revision_positive"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name="consent_changes_client_exists"
        ),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["consent_changes.id"], name="consent_changes_consent_exists"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("consent_changes_pkey")),
        sa.UniqueConstraint(
            "user_id",
            "purpose",
            "client_id",
            "revision",
            name="consent_changes_one_after_the_other",
        ),
    )
    op.create_table(
        "emotional_events",
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("emotion_primary", sa.Text(), nullable=False),
        sa.Column("emotion_confidence", sa.Double(), nullable=False),
        sa.Column("arousal", sa.Double(), nullable=False),
        sa.Column("valence", sa.Double(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "ingested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "emotion_primary IN ('happiness', 'sadness', 'fear', 'anger', 'surprise', 'disgust')",
            name="emotional_events_emotion_known",
        ),
        sa.CheckConstraint("arousal BETWEEN -1 AND 1", name="emotional_events_arousal_range"),
        sa.CheckConstraint("char_length(source) BETWEEN 1 AND 20", name="emotional_events_source"),
        sa.CheckConstraint(
            "emotion_confidence BETWEEN 0 AND 1", name="emotional_events_confidence_range"
        ),
        sa.CheckConstraint("valence BETWEEN -1 AND 1", name="emotional_events_valence_range"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name="emotional_events_client_exists"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="emotional_events_user_exists"),
        sa.PrimaryKeyConstraint("client_id", "event_id", name=op.f("emotional_events_pkey")),
    )
    op.create_index("emotional_events_by_age", "emotional_events", ["captured_at"], unique=False)
    op.create_index(
        "emotional_events_by_user_newest_first",
        "emotional_events",
        ["user_id", sa.literal_column("captured_at DESC"), sa.literal_column("event_id DESC")],
        unique=False,
    )
    op.add_column(
        "risk_assessments", sa.Column("consent_ids", postgresql.ARRAY(sa.Uuid()), nullable=True)
    )
    op.add_column(
        "risk_assessments",
        sa.Column("emotional_event_ids", postgresql.ARRAY(sa.Uuid()), nullable=True),
    )
    op.add_column(
        "risk_assessments",
        sa.Column("emotional_client_ids", postgresql.ARRAY(sa.Uuid()), nullable=True),
    )


def downgrade() -> None:
    op.drop_column("risk_assessments", "emotional_client_ids")
    op.drop_column("risk_assessments", "emotional_event_ids")
    op.drop_column("risk_assessments", "consent_ids")
    op.drop_index("emotional_events_by_user_newest_first", table_name="emotional_events")
    op.drop_index("emotional_events_by_age", table_name="emotional_events")
    op.drop_table("emotional_events")
    op.drop_table("consent_changes")
