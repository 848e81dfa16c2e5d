"""Use cases of identity: register, log in, and say who holds a token."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from ecs.domain.email_address import canonical_email
from ecs.domain.people import USER_SCOPES, ClientCredential, User, UserCredential
from ecs.domain.principal import Principal, PrincipalKind
from ecs.integrations.exceptions import HasherBusy, InvalidToken
from ecs.repositories.exceptions import ConflictError
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import (
    Busy,
    EmailTaken,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    Unauthenticated,
    UserNotFound,
)
from ecs.services.ports import ClientSecrets, Clock, NewId, Passwords, Tokens

log = structlog.get_logger(__name__)

EMAIL_CONSTRAINT = "users_email_is_unique"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """An access token, ready to be handed over."""

    access_token: str = field(repr=False)
    expires_in: int
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClient:
    """A client program's credentials; the secret is known only here and now."""

    client_id: UUID
    client_secret: str = field(repr=False)
    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthService:
    """Who may call, and for how long."""

    unit_of_work: Callable[[], UnitOfWork]
    tokens: Tokens
    passwords: Passwords
    client_secrets: ClientSecrets
    now: Clock
    new_id: NewId
    expires_seconds: int

    async def register(self, *, email: str, full_name: str, password: str) -> User:
        """
        Add a person under a canonical ``email``.

        Raises:
            EmailTaken: somebody has this address.
            Busy: too many passwords wait.
        """
        try:
            password_hash = await self.passwords.hash(password)
        except HasherBusy:
            raise Busy from None
        user_id = self.new_id()
        try:
            async with self.unit_of_work() as uow:
                user = await uow.auth.add_user(
                    user_id=user_id,
                    email=email,
                    full_name=full_name,
                    password_hash=password_hash,
                )
                await uow.commit()
        except ConflictError as conflict:
            if conflict.constraint != EMAIL_CONSTRAINT:
                raise
            raise EmailTaken from None
        log.info("auth.user-registered", user_id=str(user_id))
        return user

    async def log_in_user(
        self, *, email: str, password: str, scopes: frozenset[str] | None = None
    ) -> IssuedToken:
        """
        Return a token for the person behind ``email``, with the asked-for scopes or all.

        Raises:
            InvalidGrant: nobody, a wrong password or a disabled person; one answer for all.
            InvalidScope: a scope was asked for that people do not hold.
            Busy: too many passwords wait.
        """
        granted = _granted(scopes, held=USER_SCOPES)
        credential = await self._find_credential(email)
        try:
            if credential is None:
                await self.passwords.verify_nothing(password)
                raise InvalidGrant
            fits = await self.passwords.verify(password, credential.password_hash)
            if not (fits and credential.enabled):
                raise InvalidGrant
            await self._keep_hash_current(credential.user_id, password, credential.password_hash)
        except HasherBusy:
            raise Busy from None
        return self._issue(
            credential.user_id, PrincipalKind.USER, granted, credential.token_version
        )

    async def log_in_client(
        self, *, client_id: UUID | None, secret: str, scopes: frozenset[str] | None = None
    ) -> IssuedToken:
        """Return a token for a client program; ``InvalidClient`` or ``InvalidScope`` if not."""
        client = await self._find_client(client_id)
        # The comparison is made for unknown clients too, so that they cannot be told apart.
        fits = self.client_secrets.matches(secret, client.secret_hmac if client else b"\0" * 32)
        if client is None or not fits or not client.enabled:
            raise InvalidClient
        granted = _granted(scopes, held=client.scopes)
        return self._issue(client.client_id, PrincipalKind.CLIENT, granted, client.token_version)

    async def authenticate(self, token: str) -> Principal:
        """Return who holds ``token`` and what it still may do, or raise ``Unauthenticated``."""
        try:
            claims = self.tokens.verify(token, now=self.now())
        except InvalidToken:
            raise Unauthenticated from None
        async with self.unit_of_work() as uow:
            if claims.kind is PrincipalKind.USER:
                standing = await uow.auth.find_user_standing(claims.subject)
            else:
                standing = await uow.auth.find_client_standing(claims.subject)
        if standing is None or not standing.enabled:
            raise Unauthenticated
        if standing.token_version != claims.token_version:
            raise Unauthenticated
        return Principal(
            kind=claims.kind,
            id=claims.subject,
            scopes=claims.scopes & standing.scopes,
            token_id=claims.token_id,
        )

    async def get_user(self, user_id: UUID) -> User:
        """Return the person, or raise ``UserNotFound``."""
        async with self.unit_of_work() as uow:
            user = await uow.auth.find_user(user_id)
        if user is None:
            raise UserNotFound
        return user

    async def create_client(self, *, name: str, scopes: frozenset[str]) -> NewClient:
        """Add a client program and return its secret, which is kept nowhere else."""
        secret = self.client_secrets.make()
        client_id = self.new_id()
        async with self.unit_of_work() as uow:
            await uow.auth.add_client(
                client_id=client_id,
                name=name,
                secret_hmac=self.client_secrets.fingerprint(secret),
                scopes=scopes,
            )
            await uow.commit()
        return NewClient(client_id=client_id, client_secret=secret, name=name, scopes=scopes)

    async def _find_credential(self, email: str) -> UserCredential | None:
        canonical = canonical_email(email)
        if canonical is None:  # What is no address belongs to nobody.
            return None
        async with self.unit_of_work() as uow:
            return await uow.auth.find_credential(canonical)

    async def _find_client(self, client_id: UUID | None) -> ClientCredential | None:
        if client_id is None:  # Not even the form of an id.
            return None
        async with self.unit_of_work() as uow:
            return await uow.auth.find_client(client_id)

    async def _keep_hash_current(self, user_id: UUID, password: str, password_hash: str) -> None:
        if not self.passwords.needs_update(password_hash):
            return
        renewed = await self.passwords.hash(password)
        async with self.unit_of_work() as uow:
            await uow.auth.replace_password_hash(user_id, password_hash=renewed)
            await uow.commit()

    def _issue(
        self, subject: UUID, kind: PrincipalKind, scopes: frozenset[str], token_version: int
    ) -> IssuedToken:
        token = self.tokens.sign(
            subject=subject,
            kind=kind,
            scopes=scopes,
            token_version=token_version,
            issued_at=self.now(),
            expires_seconds=self.expires_seconds,
            token_id=self.new_id(),
        )
        log.info("auth.token-issued", kind=kind, subject=str(subject))
        return IssuedToken(access_token=token, expires_in=self.expires_seconds, scopes=scopes)


def _granted(asked: frozenset[str] | None, *, held: frozenset[str]) -> frozenset[str]:
    if asked is None:
        return held
    if not asked <= held:
        raise InvalidScope
    return asked
