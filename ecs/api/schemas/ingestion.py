"""JSON shapes that every batch ingestion shares: each item is judged alone."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, WithJsonSchema

from ecs.api.schemas.common import Answer
from ecs.services.exceptions import TooLarge
from ecs.wire.field_errors import FieldError
from ecs.wire.forms import Body
from ecs.wire.ingestion import INVALID_FIELD, ITEMS_MAX, ReadItems

Verdict = TypeVar("Verdict", bound=StrEnum)

PASSED: Final = frozenset({"accepted", "duplicate"})


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
    def of(
        cls,
        items: ReadItems[Any],
        verdicts: Mapping[int, Verdict],
        *,
        explain: Callable[[Verdict], str],
    ) -> "IngestionOut":
        """Return the shape of a batch; ``verdicts`` judge the readable items."""
        results = [
            _judged(index, item_id, verdicts[index], explain)
            if index in items.readable
            else _unreadable(index, item_id, items.complaints[index])
            for index, item_id in enumerate(items.ids)
        ]
        statuses = [result.status for result in results]
        return cls(
            accepted=statuses.count("accepted"),
            duplicates=statuses.count("duplicate"),
            rejected=statuses.count("rejected"),
            results=results,
        )


def batch_field(model: type[Body]) -> Any:
    """Return the constraints of a list of 1 to 1,000 items that are each validated later."""
    schema = {
        "type": "array",
        "minItems": 1,
        "maxItems": ITEMS_MAX,
        "items": model.model_json_schema(),
    }
    return (Field(min_length=1), AfterValidator(refuse_too_many), WithJsonSchema(schema))


def refuse_too_many(items: Sequence[Any]) -> Sequence[Any]:
    """Return ``items`` unless there are more than one request may hold."""
    if len(items) > ITEMS_MAX:
        raise TooLarge
    return items


def _judged(
    index: int, item_id: str | None, verdict: Verdict, explain: Callable[[Verdict], str]
) -> ItemResultOut:
    if verdict.value in PASSED:
        return ItemResultOut.model_validate(
            {"index": index, "id": item_id, "status": verdict.value}
        )
    return ItemResultOut(
        index=index, id=item_id, status="rejected", code=verdict.value, message=explain(verdict)
    )


def _unreadable(index: int, item_id: str | None, complaint: FieldError) -> ItemResultOut:
    return ItemResultOut(
        index=index,
        id=item_id,
        status="rejected",
        code=INVALID_FIELD,
        pointer=complaint.pointer,
        message=complaint.message,
    )
