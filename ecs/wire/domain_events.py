"""Domain events as they come from the broker: CloudEvents 1.0, structured mode, read strictly."""

from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from ecs.wire.field_errors import field_errors
from ecs.wire.forms import Body, Instant, StrictUuid
from ecs.wire.strict_json import NotStrictJson, parse_json

EVENT_BYTES_MAX: Final = 1024 * 1024
MALFORMED: Final = "malformed"
INVALID_FIELD: Final = "invalid_field"
UNEXPECTED_TYPE: Final = "unexpected_type"
UNKNOWN_FIELD: Final = "unknown_field"
JSON_TYPE: Final = "application/json"

Item = TypeVar("Item", bound=Body)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedEvent(Generic[Item]):
    """An event as it was read: its id, the request it follows from if any, and what it says."""

    id: UUID
    request_id: str | None
    data: Item = field(repr=False)


class NotAnEvent(ValueError):
    """Not an event that we know. ``reason`` says where and repeats nothing of it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def read_event(body: bytes, *, model: type[Item], name: str) -> ReceivedEvent[Item]:
    """
    Return the event of type ``name`` that a message holds.

    Attributes of the envelope that we do not know are ignored, as CloudEvents allows them; fields
    of ``data`` that ``model`` does not know are not.

    Raises:
        NotAnEvent: malformed, invalid_field or unexpected_type.
    """
    content = _object_of(body)
    envelope = _validated(_Envelope, content, place=())
    if envelope.type != name:
        raise NotAnEvent(UNEXPECTED_TYPE, f"The type of the event is not {name}.")
    data = _validated(model, envelope.data, place=("data",))
    return ReceivedEvent(id=envelope.id, request_id=envelope.requestid, data=data)


class _Envelope(BaseModel):
    """What surrounds an event's data."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: StrictUuid
    source: StrictStr = Field(min_length=1)
    type: StrictStr = Field(min_length=1)
    time: Instant | None = None
    datacontenttype: Literal["application/json"] = JSON_TYPE
    requestid: StrictStr | None = Field(default=None, max_length=128)
    data: Any


_Model = TypeVar("_Model", bound=BaseModel)


def _object_of(body: bytes) -> dict[str, Any]:
    if len(body) > EVENT_BYTES_MAX:
        raise NotAnEvent(MALFORMED, "The message is larger than 1 MiB.")
    try:
        content = parse_json(body)
    except NotStrictJson as error:
        raise NotAnEvent(MALFORMED, str(error)) from None
    if not isinstance(content, dict):
        raise NotAnEvent(MALFORMED, "A message is one CloudEvent: a JSON object.")
    return content


def _validated(model: type[_Model], content: Any, *, place: tuple[str, ...]) -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # Without a cause: pydantic's words quote what was sent.
        raise NotAnEvent(INVALID_FIELD, _complaint(error, place)) from None


def _complaint(error: ValidationError, place: tuple[str, ...]) -> str:
    """Return where the first wrong thing is, and what is wrong; a stranger's names are left out."""
    [first, *_] = error.errors(include_url=False, include_input=False)
    steps = first["loc"][:-1] if first["type"] == "extra_forbidden" else first["loc"]
    [wrong] = field_errors([{**first, "loc": ("body", *place, *steps)}])
    what = "holds a field that is unknown here." if wrong.code == UNKNOWN_FIELD else wrong.message
    return f"{wrong.pointer or 'the event'}: {what}"
