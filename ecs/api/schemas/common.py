"""The forms that every schema shares: instants, money, ids, texts, pages."""

import base64
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from ecs.domain.rate import quantised
from ecs.wire.forms import Body, invalid

T = TypeVar("T")


class Identified(Protocol):
    """Something with an id that sorts by age."""

    @property
    def id(self) -> UUID:
        """Return the id."""


Item = TypeVar("Item", bound=Identified)

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100
UUID_BYTES: Final = 16
# 16 bytes in base64url: the last character carries only two bits.
CURSOR_PATTERN: Final = r"^[A-Za-z0-9_-]{21}[AQgw]$"
AMOUNT_PATTERN: Final = r"^-?[0-9]{1,12}\.[0-9]{2}$"
RATE_PATTERN: Final = r"^-?[0-9]+\.[0-9]{6}$"
_AMOUNT: Final = re.compile(AMOUNT_PATTERN[1:-1])
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
# Control, surrogate and unassigned characters, and line separators.
_NOT_PLAIN: Final = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})
# These turn the direction of the text around them, so that it reads as something else.
_BIDI_CONTROLS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def format_rate(rate: Decimal) -> str:
    """Return a rate, score or factor with six decimals, half to even."""
    return format(quantised(rate), "f")


def check_amount(value: str) -> str:
    """Return an amount text that has exactly two decimals."""
    if _AMOUNT.fullmatch(value) is None:
        raise invalid('Write an amount as text with two decimals, as in "-12.50".')
    return value


def plain_text(value: str) -> str:
    """Return ``value`` in NFC, trimmed; refuse what cannot be seen but does something."""
    text = unicodedata.normalize("NFC", value).strip()
    if any(unicodedata.category(character) in _NOT_PLAIN for character in text):
        raise invalid("Leave out control characters.")
    if _BIDI_CONTROLS.intersection(text):
        raise invalid("Leave out characters that change the direction of writing.")
    return text


def encode_cursor(last_id: UUID) -> str:
    """Return the opaque text that stands for everything behind ``last_id``."""
    return base64.urlsafe_b64encode(last_id.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> UUID:
    """Return the id behind a cursor of ours."""
    try:
        raw = base64.b64decode(cursor + "==", altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != UUID_BYTES or encode_cursor(UUID(bytes=raw)) != cursor:
        raise invalid("Use the next_cursor of the page before, unchanged.")
    return UUID(bytes=raw)


def _check_cursor(cursor: str) -> str:
    decode_cursor(cursor)
    return cursor


def whole_number(most: int) -> Callable[[object], object]:
    """Return a check that admits only plain digits: no sign, no blanks, no other script."""

    def check(value: object) -> object:
        if isinstance(value, str) and _DIGITS.fullmatch(value) is None:
            raise invalid(f"Write a whole number from 1 to {most}.")
        return value

    return check


MoneyText = Annotated[
    StrictStr,
    AfterValidator(check_amount),
    WithJsonSchema({"type": "string", "pattern": AMOUNT_PATTERN, "examples": ["1250.00"]}),
]
"""An amount in major units of the currency beside it."""

RateText = Annotated[
    Decimal,
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema({"type": "string", "pattern": RATE_PATTERN, "examples": ["0.153662"]}),
]
"""A rate, a score in [0, 1] or a factor: answered as text with six decimals."""

PlainText = Annotated[StrictStr, AfterValidator(plain_text)]
"""Text of any language without anything invisible in it, NFC, trimmed."""


def _check_name(name: str) -> str:
    if not name:
        raise PydanticCustomError("too_short", "Write at least one character.")
    return name


PersonName = Annotated[
    StrictStr,
    Field(max_length=200, json_schema_extra={"minLength": 1}),
    AfterValidator(plain_text),
    AfterValidator(_check_name),
]
"""A person's full name, 1 to 200 characters."""


class EmptyBody(Body):
    """A body that says nothing: ``{}``, or none at all."""


class Answer(BaseModel):
    """Base of what we send."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Page(Answer, Generic[T]):
    """One page of a list, in the route's order; ``next_cursor`` is null on the last."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """How many items a client wants, and behind which one."""

    limit: int
    after: UUID | None


def page_request(
    limit: Annotated[
        int, Query(ge=1, le=LIMIT_MAX), BeforeValidator(whole_number(LIMIT_MAX))
    ] = LIMIT_DEFAULT,
    after: Annotated[
        str | None,
        Query(description="The next_cursor of the page before.", max_length=64),
        AfterValidator(lambda cursor: None if cursor is None else _check_cursor(cursor)),
        WithJsonSchema({"type": "string", "pattern": CURSOR_PATTERN}),
    ] = None,
) -> PageRequest:
    """Return what ``?limit=`` and ``?after=`` ask for."""
    return PageRequest(limit=limit, after=None if after is None else decode_cursor(after))


Paging = Annotated[PageRequest, Depends(page_request)]
"""The paging parameters of a list route."""


def page(items: Sequence[Item], *, limit: int, show: Callable[[Item], Answer]) -> dict[str, Any]:
    """Return the fields of a ``Page`` from the ``limit + 1`` items that were asked for."""
    has_more = len(items) > limit
    return {
        "data": [show(item) for item in items[:limit]],
        "has_more": has_more,
        "next_cursor": encode_cursor(items[limit - 1].id) if has_more else None,
    }
