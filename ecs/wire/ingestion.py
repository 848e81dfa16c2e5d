"""A batch of items judged one by one: which could be read, and what was wrong with the others."""

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ecs.wire.field_errors import FieldError, field_errors
from ecs.wire.forms import Body, parse_uuid

ITEMS_MAX: Final = 1000
INVALID_FIELD: Final = "invalid_field"

Item = TypeVar("Item", bound=Body)


class ReadItems(Generic[Item]):
    """
    The items of a batch, each read alone.

    ``ids`` holds one id an item, None where it cannot be read; ``readable`` and ``complaints``
    together hold every index once.
    """

    def __init__(self, items: Sequence[Any], *, model: type[Item], id_field: str) -> None:
        self.ids = [_id_text(item, id_field) for item in items]
        self.readable: dict[int, Item] = {}
        self.complaints: dict[int, FieldError] = {}
        for index, item in enumerate(items):
            try:
                self.readable[index] = model.model_validate(item)
            except ValidationError as error:
                self.complaints[index] = _first_complaint(error)


def _first_complaint(error: ValidationError) -> FieldError:
    [first, *_] = error.errors(include_url=False, include_input=False)
    [complaint] = field_errors([_within_item(first)])
    return complaint


def _within_item(error: ErrorDetails) -> ErrorDetails:
    return {**error, "loc": ("body", *error["loc"])}


def _id_text(item: Any, id_field: str) -> str | None:
    try:
        return str(parse_uuid(item[id_field]))
    except (ValueError, TypeError, KeyError, IndexError):
        return None
