"""Tables of who may call: people and client programs."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from ecs.repositories.tables.columns import instant, text_column


class UserRow(SQLModel, table=True):
    """A person who may apply for credit."""

    __tablename__ = "users"
    __table_args__ = (
        Index("users_email_is_unique", text("lower(email)"), unique=True),
        CheckConstraint("char_length(email) BETWEEN 3 AND 320", name="users_email_length"),
        CheckConstraint("char_length(full_name) BETWEEN 1 AND 200", name="users_full_name_length"),
        CheckConstraint("token_version >= 0", name="users_token_version_not_negative"),
    )

    id: UUID = Field(primary_key=True)
    email: str = Field(sa_column=text_column())
    full_name: str = Field(sa_column=text_column())
    password_hash: str = Field(sa_column=text_column())
    token_version: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    created_at: datetime = Field(sa_column=instant(server_default=text("now()")))
    disabled_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))


class ClientRow(SQLModel, table=True):
    """A program that posts data; its secret is kept only as an HMAC."""

    __tablename__ = "clients"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="clients_name_length"),
        CheckConstraint("octet_length(secret_hmac) = 32", name="clients_secret_hmac_length"),
        CheckConstraint("cardinality(scopes) >= 1", name="clients_have_a_scope"),
        CheckConstraint("token_version >= 0", name="clients_token_version_not_negative"),
    )

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_column=text_column())
    secret_hmac: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    token_version: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    created_at: datetime = Field(sa_column=instant(server_default=text("now()")))
    disabled_at: datetime | None = Field(default=None, sa_column=instant(nullable=True))
