"""leases of jobs.

Revision: 202611211055
Revises: 202611210735
"""

import sqlalchemy as sa
from alembic import op

revision: str = "202611211055"
down_revision: str | None = "202611210735"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        "jobs_leased_while_running", "jobs", "leased_until IS NULL OR status = 'running'"
    )


def downgrade() -> None:
    # The program of then neither carries mail nor ends its jobs: they would wait for ever.
    op.execute(
        "UPDATE jobs SET status = 'failed', error_code = 'email_not_sent',"
        " error_message = 'the schema was downgraded', leased_until = NULL, finished_at = now()"
        " WHERE kind = 'send_email' AND status IN ('queued', 'running')"
    )
    op.execute("DELETE FROM outbox_events WHERE destination = 'rq:mail' AND published_at IS NULL")
    op.drop_constraint("jobs_leased_while_running", "jobs", type_="check")
    op.drop_column("jobs", "leased_until")
