"""JSON shapes of identity."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, JsonValue, StrictStr
from pydantic_core import PydanticCustomError

from ecs.api.schemas.common import Answer, PersonName
from ecs.api.schemas.consents import ConsentOut
from ecs.api.schemas.credit import AccountOut, DecisionOut
from ecs.domain.consents import Consent
from ecs.domain.credit.agreements import CreditAccount, CreditOffer
from ecs.domain.email_address import CHARACTERS_MAX, canonical_email
from ecs.domain.passwords import ADVICE, BYTES_MAX, BYTES_MIN, find_password_fault
from ecs.domain.passwords import CHARACTERS_MAX as PASSWORD_CHARACTERS_MAX
from ecs.domain.people import User
from ecs.services.auth_service import IssuedToken
from ecs.wire.forms import Body, Instant

# The rule counts bytes and this counts characters: what it lets through may still be refused.
PASSWORD_FORM: Final[dict[str, JsonValue]] = {
    "format": "password",
    "minLength": -(-BYTES_MIN // 4),
    "maxLength": PASSWORD_CHARACTERS_MAX,
    "description": f"{BYTES_MIN} to {BYTES_MAX} bytes of UTF-8, and not a common one",
}


def _check_email(address: str) -> str:
    canonical = canonical_email(address)
    if canonical is None:
        raise PydanticCustomError(
            "invalid_value", "Write an e-mail address, as in maria@example.com."
        )
    return canonical


def _check_password(password: str) -> str:
    fault = find_password_fault(password)
    if fault is not None:
        raise PydanticCustomError("invalid_value", ADVICE[fault])
    return password


EmailAddress = Annotated[
    StrictStr,
    Field(max_length=CHARACTERS_MAX, json_schema_extra={"format": "email", "minLength": 3}),
    AfterValidator(_check_email),
]
Password = Annotated[
    StrictStr,
    Field(repr=False, json_schema_extra=PASSWORD_FORM),
    AfterValidator(_check_password),
]


class Registration(Body):
    """A person who wants to use the system."""

    email: EmailAddress
    full_name: PersonName
    password: Password


class UserOut(Answer):
    """A person, as that person sees it."""

    id: UUID
    email: str
    full_name: str
    created_at: Instant

    @classmethod
    def of(cls, user: User) -> "UserOut":
        """Return the shape of ``user``."""
        return cls(
            id=user.id, email=user.email, full_name=user.full_name, created_at=user.created_at
        )


class MeOut(UserOut):
    """A person with everything that stands at this moment."""

    consents: list[ConsentOut]
    active_offer: DecisionOut | None
    active_account: AccountOut | None

    @classmethod
    def assemble(
        cls,
        user: User,
        *,
        consents: Sequence[Consent],
        offer: CreditOffer | None,
        account: CreditAccount | None,
    ) -> "MeOut":
        """Return the shape of a person with what stands."""
        return cls(
            **UserOut.of(user).model_dump(),
            consents=[ConsentOut.of(consent) for consent in consents],
            active_offer=None if offer is None else DecisionOut.of(offer),
            active_account=None if account is None else AccountOut.of(account),
        )


class TokenOut(Answer):
    """An access token, in the form of RFC 6749 section 5.1."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  (a kind, no secret)
    expires_in: int
    scope: str

    @classmethod
    def of(cls, token: IssuedToken) -> "TokenOut":
        """Return the shape of ``token``."""
        return cls(
            access_token=token.access_token,
            expires_in=token.expires_in,
            scope=" ".join(sorted(token.scopes)),
        )


class TokenErrorOut(Answer):
    """A token request refused, in the form of RFC 6749 section 5.2."""

    error: str
    error_description: str
