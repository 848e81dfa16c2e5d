"""JSON shapes of consents."""

from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, StrictStr, WithJsonSchema

from ecs.api.schemas.common import Answer
from ecs.domain.consents import (
    LOCALES,
    Consent,
    ConsentStatus,
    ConsentText,
    Purpose,
    find_purpose,
)
from ecs.wire.forms import Body, Instant, StrictUuid, invalid, one_of


def _parse_purpose(value: object) -> Purpose:
    purpose = find_purpose(value) if isinstance(value, str) else None
    if purpose is None:
        raise invalid(f"Write one of: {', '.join(Purpose)}.")
    return purpose


PurposeName = Annotated[
    Purpose,
    BeforeValidator(_parse_purpose),
    WithJsonSchema({"type": "string", "enum": [purpose.value for purpose in Purpose]}),
]


class ConsentIn(Body):
    """One client may send this person's data, for this purpose, under the newest text."""

    purpose: PurposeName
    client_id: StrictUuid
    locale: Annotated[StrictStr, *one_of(LOCALES)]


class ConsentOut(Answer):
    """A consent, and the text that was agreed to."""

    id: UUID
    purpose: Purpose
    client_id: UUID
    locale: str
    text_version: str
    text_sha256: str
    status: ConsentStatus
    granted_at: Instant
    withdrawn_at: Instant | None

    @classmethod
    def of(cls, consent: Consent) -> "ConsentOut":
        """Return the shape of ``consent``."""
        return cls(
            id=consent.id,
            purpose=consent.purpose,
            client_id=consent.client_id,
            locale=consent.locale,
            text_version=consent.text_version,
            text_sha256=consent.text_sha256,
            status=consent.status,
            granted_at=consent.granted_at,
            withdrawn_at=consent.withdrawn_at,
        )


class ConsentsOut(Answer):
    """Up to 1,000 consents a person gave: those that stand first, then the newest."""

    data: list[ConsentOut]


class ConsentTextOut(Answer):
    """The words to agree to; ``sha256`` is of their UTF-8 bytes."""

    purpose: Purpose
    locale: str
    version: str
    text: str
    sha256: str

    @classmethod
    def of(cls, words: ConsentText) -> "ConsentTextOut":
        """Return the shape of ``words``."""
        return cls(
            purpose=words.purpose,
            locale=words.locale,
            version=words.version,
            text=words.text,
            sha256=words.sha256,
        )
