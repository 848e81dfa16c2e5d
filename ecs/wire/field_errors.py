"""What is wrong with something sent to us, place by place, in words that repeat none of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

ERRORS_MAX: Final = 100
POINTER_CHARACTERS_MAX: Final = 200

MESSAGES: Final[dict[str, str]] = {
    "missing": "Required; add it.",
    "unknown_field": "Unknown here; leave it out.",
    "invalid_type": "Of the wrong type; the API description says which it takes.",
    "invalid_value": "Not acceptable; the API description says what is.",
    "too_short": "Too short, or too few.",
    "too_long": "Too long, or too many.",
    "out_of_range": "Outside the permitted range.",
}
CODE_BY_PYDANTIC_TYPE: Final[dict[str, str]] = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "string_too_short": "too_short",
    "too_short": "too_short",
    "string_too_long": "too_long",
    "too_long": "too_long",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "finite_number": "out_of_range",
    "int_parsing_size": "out_of_range",
    "decimal_max_digits": "out_of_range",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One thing wrong with a request. ``message`` says the way out and never echoes the value."""

    pointer: str
    code: str
    message: str


def field_errors(details: Sequence[Any]) -> Iterator[FieldError]:
    """Turn pydantic's complaints into ours, without the values it would repeat."""
    for detail in details[:ERRORS_MAX]:
        own = detail["type"] in MESSAGES and detail["type"] not in CODE_BY_PYDANTIC_TYPE
        code = detail["type"] if own else _code_of(detail["type"])
        message = detail["msg"] if own else MESSAGES[code]
        yield FieldError(pointer=pointer_of(detail["loc"]), code=code, message=message)


def pointer_of(location: Sequence[str | int]) -> str:
    """Return ``/a/0/b`` for a place in the body, ``?name`` in the query, ``name:`` in a header."""
    source, *steps = location
    if source == "query":
        text = "?" + ".".join(str(step) for step in steps)
    elif source in {"header", "cookie"}:
        text = ".".join(str(step) for step in steps) + ":"
    else:
        text = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)
    return text[:POINTER_CHARACTERS_MAX]


def _code_of(pydantic_type: str) -> str:
    if pydantic_type in CODE_BY_PYDANTIC_TYPE:
        return CODE_BY_PYDANTIC_TYPE[pydantic_type]
    typed = pydantic_type.endswith(("_type", "_parsing", "_attributes_type"))
    return "invalid_type" if typed else "invalid_value"
