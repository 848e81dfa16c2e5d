"""What the application's database role may do to each table. Set anew after each migration."""

from typing import Final

READ_ONLY: Final = "SELECT"
APPEND_ONLY: Final = "SELECT, INSERT"
READ_WRITE: Final = "SELECT, INSERT, UPDATE"
WITH_CLEANING: Final = "SELECT, INSERT, UPDATE, DELETE"

PRIVILEGES: Final[dict[str, str]] = {
    "alembic_version": READ_ONLY,
    "audit_log": APPEND_ONLY,
    "audit_seals": APPEND_ONLY,
    "clients": READ_ONLY,
    "consent_changes": APPEND_ONLY,
    "credit_accounts": READ_WRITE,
    "credit_offers": READ_WRITE,
    "credit_reports": APPEND_ONLY,
    # Without UPDATE: an event is never changed, only removed when its time is over.
    "emotional_events": "SELECT, INSERT, DELETE",
    "idempotency_keys": "SELECT, INSERT, DELETE",
    "jobs": READ_WRITE,
    "notifications": READ_WRITE,
    "outbox_events": WITH_CLEANING,
    "prequalification_applications": READ_WRITE,
    "prequalification_status_changes": APPEND_ONLY,
    "processed_messages": "SELECT, INSERT, DELETE",
    "risk_assessments": APPEND_ONLY,
    "transactions": APPEND_ONLY,
    "users": READ_WRITE,
}


def grant_statements(role: str) -> list[str]:
    """Return the SQL that gives ``role`` exactly these rights on the tables that exist."""
    quoted = '"' + role.replace('"', '""') + '"'
    statements = [f"GRANT USAGE ON SCHEMA public TO {quoted}"]
    for table, rights in sorted(PRIVILEGES.items()):
        statements.append(
            f"DO $$ BEGIN IF to_regclass('public.{table}') IS NOT NULL THEN"
            f" REVOKE ALL ON {table} FROM {quoted}; GRANT {rights} ON {table} TO {quoted};"
            " END IF; END $$"
        )
    return statements
