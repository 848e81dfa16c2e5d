"""JSON as RFC 8259 means it: nothing doubtful gets past this point."""

import math
import re
from typing import Any, Final

import jiter

# Numbers that a float cannot hold become infinity in the parser. They are so rare that the parsed
# value is only searched when the text has one with an exponent of two digits, or a very long one.
_SUSPICIOUS_NUMBER: Final = re.compile(
    rb"(?:^|[\s:,\[])-?(?:[0-9]{300}|[0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]{2})"
)
_POSITION: Final = re.compile(r"at line (\d+) column (\d+)$")


class NotStrictJson(ValueError):
    """Not JSON that everybody reads alike. The message says where, and repeats nothing of it."""


def parse_json(text: bytes) -> Any:
    """
    Return the value that ``text`` (UTF-8) spells.

    Raises ``NotStrictJson`` for anything that another reader could understand differently or not
    at all: NaN, Infinity, numbers beyond a float, duplicate keys, lone surrogates, a byte order
    mark, bad UTF-8, nesting beyond 200 levels, integers beyond 4,300 digits.
    """
    try:
        value = jiter.from_json(text, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise NotStrictJson(_where(error)) from None
    if _SUSPICIOUS_NUMBER.search(text) and _holds_infinity(value):
        raise NotStrictJson("A number is too large.")
    return value


def _where(error: ValueError) -> str:
    """Return where the text went wrong, without any of the text."""
    found = _POSITION.search(str(error))
    if found is None:
        return "The body is not valid JSON in UTF-8."
    line, column = found.groups()
    return f"The body is not valid JSON in UTF-8: see line {line}, column {column}."


def _holds_infinity(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return True
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False
