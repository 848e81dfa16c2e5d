"""Reads and writes of people and client programs."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ecs.domain.people import USER_SCOPES, ClientCredential, Standing, User, UserCredential

_FIND_CREDENTIAL: Final = text(
    "SELECT id, password_hash, token_version, disabled_at IS NULL AS enabled"
    " FROM users WHERE lower(email) = :email"
)
_FIND_CLIENT: Final = text(
    "SELECT id, secret_hmac, scopes, token_version, disabled_at IS NULL AS enabled"
    " FROM clients WHERE id = :client_id"
)
_FIND_CLIENT_STANDINGS: Final = text(
    "SELECT id, scopes, token_version, disabled_at IS NULL AS enabled"
    " FROM clients WHERE id = ANY(CAST(:client_ids AS uuid[]))"
)
_FIND_USER: Final = text("SELECT id, email, full_name, created_at FROM users WHERE id = :user_id")
_ADD_USER: Final = text(
    "INSERT INTO users (id, email, full_name, password_hash)"
    " VALUES (:id, :email, :full_name, :password_hash) RETURNING created_at"
)
_ADD_CLIENT: Final = text(
    "INSERT INTO clients (id, name, secret_hmac, scopes)"
    " VALUES (:id, :name, :secret_hmac, CAST(:scopes AS text[]))"
)
_REHASH: Final = text("UPDATE users SET password_hash = :password_hash WHERE id = :user_id")


class AuthRepository:
    """Who may call."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add_user(
        self, *, user_id: UUID, email: str, full_name: str, password_hash: str
    ) -> User:
        """Store a new person; a taken address breaks ``users_email_is_unique``."""
        row = await self._session.execute(
            _ADD_USER,
            {"id": user_id, "email": email, "full_name": full_name, "password_hash": password_hash},
        )
        return User(id=user_id, email=email, full_name=full_name, created_at=row.scalar_one())

    async def find_user(self, user_id: UUID) -> User | None:
        """Return the person, or None."""
        found = await self._session.execute(_FIND_USER, {"user_id": user_id})
        row = found.mappings().one_or_none()
        return None if row is None else User(**row)

    async def find_credential(self, email: str) -> UserCredential | None:
        """Return what a login under ``email`` (normalised) is checked against, or None."""
        row = (await self._session.execute(_FIND_CREDENTIAL, {"email": email})).one_or_none()
        if row is None:
            return None
        return UserCredential(
            user_id=row.id,
            password_hash=row.password_hash,
            token_version=row.token_version,
            enabled=row.enabled,
        )

    async def replace_password_hash(self, user_id: UUID, *, password_hash: str) -> None:
        """Keep the same password under newer parameters."""
        await self._session.execute(_REHASH, {"user_id": user_id, "password_hash": password_hash})

    async def add_client(
        self, *, client_id: UUID, name: str, secret_hmac: bytes, scopes: frozenset[str]
    ) -> None:
        """Store a new client program."""
        await self._session.execute(
            _ADD_CLIENT,
            {"id": client_id, "name": name, "secret_hmac": secret_hmac, "scopes": sorted(scopes)},
        )

    async def find_client(self, client_id: UUID) -> ClientCredential | None:
        """Return what a client's login is checked against, or None."""
        row = (await self._session.execute(_FIND_CLIENT, {"client_id": client_id})).one_or_none()
        if row is None:
            return None
        return ClientCredential(
            client_id=row.id,
            secret_hmac=row.secret_hmac,
            scopes=frozenset(row.scopes),
            token_version=row.token_version,
            enabled=row.enabled,
        )

    async def find_user_standing(self, user_id: UUID) -> Standing | None:
        """Return whether this person's tokens still hold, or None for nobody."""
        row = (
            await self._session.execute(
                text(
                    "SELECT token_version, disabled_at IS NULL AS enabled"
                    " FROM users WHERE id = :user_id"
                ),
                {"user_id": user_id},
            )
        ).one_or_none()
        if row is None:
            return None
        return Standing(token_version=row.token_version, enabled=row.enabled, scopes=USER_SCOPES)

    async def find_client_standing(self, client_id: UUID) -> Standing | None:
        """Return whether this client's tokens still hold, or None for nobody."""
        return (await self.find_client_standings({client_id})).get(client_id)

    async def find_client_standings(self, client_ids: Collection[UUID]) -> dict[UUID, Standing]:
        """Return what each of these clients may do at the moment; nobody has no entry."""
        rows = await self._session.execute(_FIND_CLIENT_STANDINGS, {"client_ids": list(client_ids)})
        return {
            row.id: Standing(
                token_version=row.token_version, enabled=row.enabled, scopes=frozenset(row.scopes)
            )
            for row in rows
        }
