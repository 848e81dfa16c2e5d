"""the place in a trace that an outbox event follows from.

Revision: 202611211810
Revises: 202611211500
"""

import sqlalchemy as sa
from alembic import op

revision: str = "202611211810"
down_revision: str | None = "202611211500"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.add_column("outbox_events", sa.Column("trace_parent", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox_events", "trace_parent")
