"""The JSON forms that both doors share: instants, ids, and objects without unknown fields."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

UUID_PATTERN: Final = (
    r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"
)
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_UUID: Final = re.compile(UUID_PATTERN[1:-1])


def parse_instant(value: object) -> datetime:
    """Return the UTC instant of an RFC 3339 text with an offset."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise invalid("Write an RFC 3339 instant with its offset, as in 2026-01-31T09:30:00Z.")


def format_instant(instant: datetime) -> str:
    """Return an instant in UTC with ``Z``."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_uuid(value: object) -> UUID:
    """Return the id that 8-4-4-4-12 hexadecimal digits spell; no other spelling is known."""
    if isinstance(value, UUID):
        return value
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    raise invalid("Write a UUID as 8-4-4-4-12 hexadecimal digits.")


def invalid(message: str) -> PydanticCustomError:
    """Return the complaint about a value; ``message`` says the way out and repeats nothing."""
    return PydanticCustomError("invalid_value", "{message}", {"message": message})


def one_of(words: Iterable[str]) -> tuple[AfterValidator, WithJsonSchema]:
    """Return what makes a text one of ``words``: the check and its description."""
    known = [str(word) for word in words]

    def check(value: str) -> str:
        if value not in known:
            raise invalid(f"Use one of {', '.join(known)}.")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "enum": known})


Instant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    PlainSerializer(format_instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment: in, RFC 3339 with any offset; inside and out, UTC."""

StrictUuid = Annotated[
    UUID,
    BeforeValidator(parse_uuid),
    WithJsonSchema({"type": "string", "format": "uuid", "pattern": UUID_PATTERN}),
]
"""An id in its usual spelling."""


class Body(BaseModel):
    """Base of what clients send: exact types, and no field that we do not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
