"""What PostgreSQL stores. Importing this package registers every table."""

from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = {"pk": "%(table_name)s_pkey"}  # Before any table is made.

from ecs.repositories.tables import (  # noqa: E402  (after the naming convention)
    audit,
    auth,
    consents,
    credit,
    emotions,
    idempotency,
    jobs,
    notifications,
    outbox,
    prequalification,
    transactions,
)

__all__ = [
    "audit",
    "auth",
    "consents",
    "credit",
    "emotions",
    "idempotency",
    "jobs",
    "notifications",
    "outbox",
    "prequalification",
    "transactions",
]
