"""indexes of what waits, so that it is counted without a look at what is done.

Revision: 202611211815
Revises: 202611211810
"""

import sqlalchemy as sa
from alembic import op

revision: str = "202611211815"
down_revision: str | None = "202611211810"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_index(
        "outbox_events_parked",
        "outbox_events",
        ["destination"],
        unique=False,
        postgresql_where=sa.text("parked_at IS NOT NULL"),
    )
    op.create_index(
        "prequalification_applications_pending",
        "prequalification_applications",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'PENDING'"),
    )


def downgrade() -> None:
    op.drop_index(
        "prequalification_applications_pending",
        table_name="prequalification_applications",
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.drop_index(
        "outbox_events_parked",
        table_name="outbox_events",
        postgresql_where=sa.text("parked_at IS NOT NULL"),
    )
