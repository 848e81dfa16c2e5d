"""What PostgreSQL stores. Importing this package registers every table."""

from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = {"pk": "%(table_name)s_pkey"}  # Before any table is made.

from ecs.repositories.tables import auth, credit, jobs, notifications, outbox, transactions  # noqa: E402  (after the naming convention)

__all__ = ["auth", "credit", "jobs", "notifications", "outbox", "transactions"]
