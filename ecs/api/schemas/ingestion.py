"""JSON shapes that every batch ingestion shares: each item is judged alone."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ecs.api.error_handlers import field_errors
from ecs.api.schemas.common import Answer, Body, parse_uuid
from ecs.services.exceptions import TooLarge

ITEMS_MAX: Final = 1000
INVALID_FIELD: Final = "invalid_field"
PASSED: Final = frozenset({"accepted", "duplicate"})

Item = TypeVar("Item", bound=Body)


class ItemResultOut(Answer):
    """What became of one item; ``code``, ``pointer`` and ``message`` only when it was rejected."""

    index: int
    id: str | None
    status: Literal["accepted", "duplicate", "rejected"]
    code: str | None = None
    pointer: str | None = None
    message: str | None = None


class IngestionOut(Answer):
    """What became of a batch, item by item, in the order they were sent."""

    accepted: int
    duplicates: int
    rejected: int
    results: list[ItemResultOut]

    @classmethod
    def of(cls, results: Sequence[ItemResultOut]) -> "IngestionOut":
        """Return the shape of a batch's results."""
        statuses = [result.status for result in results]
        return cls(
            accepted=statuses.count("accepted"),
            duplicates=statuses.count("duplicate"),
            rejected=statuses.count("rejected"),
            results=list(results),
        )


class ReadItems(Generic[Item]):
    """The items of a batch: those that could be read, and a result for each that could not."""

    def __init__(self, items: Sequence[Any], *, model: type[Item], id_field: str) -> None:
        self._ids = [_id_text(item, id_field) for item in items]
        self._unreadable: dict[int, ItemResultOut] = {}
        self.readable: dict[int, Item] = {}
        for index, item in enumerate(items):
            try:
                self.readable[index] = model.model_validate(item)
            except ValidationError as error:
                self._unreadable[index] = self._invalid(index, error)

    def results(
        self, verdicts: Mapping[int, StrEnum], *, explain: Callable[[StrEnum], str]
    ) -> list[ItemResultOut]:
        """Return one result an item; ``verdicts`` judge the readable ones."""
        judged = {index: self._judged(index, verdicts[index], explain) for index in self.readable}
        every = self._unreadable | judged
        return [every[index] for index in sorted(every)]

    def _judged(
        self, index: int, verdict: StrEnum, explain: Callable[[StrEnum], str]
    ) -> ItemResultOut:
        if verdict.value in PASSED:
            return ItemResultOut.model_validate(
                {"index": index, "id": self._ids[index], "status": verdict.value}
            )
        return ItemResultOut(
            index=index,
            id=self._ids[index],
            status="rejected",
            code=verdict.value,
            message=explain(verdict),
        )

    def _invalid(self, index: int, error: ValidationError) -> ItemResultOut:
        [first, *_] = error.errors(include_url=False, include_input=False)
        [complaint] = field_errors([_within_item(first)])
        return ItemResultOut(
            index=index,
            id=self._ids[index],
            status="rejected",
            code=INVALID_FIELD,
            pointer=complaint.pointer,
            message=complaint.message,
        )


def refuse_too_many(items: list[Any]) -> list[Any]:
    """Return ``items`` unless there are more than one request may hold."""
    if len(items) > ITEMS_MAX:
        raise TooLarge
    return items


def _within_item(error: ErrorDetails) -> ErrorDetails:
    return {**error, "loc": ("body", *error["loc"])}


def _id_text(item: Any, id_field: str) -> str | None:
    try:
        return str(parse_uuid(item[id_field]))
    except (ValueError, TypeError, KeyError, IndexError):
        return None
