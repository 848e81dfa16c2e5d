"""Domain events as they come from the broker: CloudEvents 1.0 in structured mode."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, ValidationError

from ecs.domain.events import Cause
from ecs.domain.telemetry import TRACE_PARENT
from ecs.wire.field_errors import field_errors
from ecs.wire.forms import Instant, StrictUuid
from ecs.wire.strict_json import NotStrictJson, parse_json

EVENT_BYTES_MAX: Final = 1024 * 1024
MALFORMED: Final = "malformed"
INVALID_FIELD: Final = "invalid_field"
UNEXPECTED_TYPE: Final = "unexpected_type"
JSON_TYPE: Final = "application/json"


class EventPart(BaseModel):
    """
    Base of what is read of an event: exact types.

    What a model does not name is ignored: another version of us may have added it.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


Item = TypeVar("Item", bound=EventPart)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedEvent(Generic[Item]):
    """An event as it was read: its id, what it follows from, and what it says."""

    id: UUID
    cause: Cause
    data: Item = field(repr=False)


class NotAnEvent(ValueError):
    """Not an event that we know. ``reason`` says where and repeats nothing of it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def read_event(body: bytes, *, model: type[Item], name: str) -> ReceivedEvent[Item]:
    """
    Return the event of type ``name`` that a message holds, with what ``model`` names of its data.

    Raises:
        NotAnEvent: malformed, invalid_field or unexpected_type.
    """
    content = _object_of(body)
    envelope = _validated(_Envelope, content, place=())
    if envelope.type != name:
        raise NotAnEvent(UNEXPECTED_TYPE, f"The type of the event is not {name}.")
    data = _validated(model, envelope.data, place=("data",))
    cause = Cause(request_id=envelope.requestid, trace_parent=envelope.traceparent)
    return ReceivedEvent(id=envelope.id, cause=cause, data=data)


def _trace_parent(value: object) -> str | None:
    """Return a place in a trace, or None: no message is lost for what only tells of it."""
    return value if isinstance(value, str) and TRACE_PARENT.fullmatch(value) else None


class _Envelope(EventPart):
    """What surrounds an event's data."""

    specversion: Literal["1.0"]
    id: StrictUuid
    source: StrictStr = Field(min_length=1)
    type: StrictStr = Field(min_length=1)
    time: Instant | None = None
    datacontenttype: Literal["application/json"] = JSON_TYPE
    requestid: StrictStr | None = Field(default=None, max_length=128)
    traceparent: Annotated[str | None, BeforeValidator(_trace_parent)] = None
    data: Any


_Part = TypeVar("_Part", bound=EventPart)


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


def _validated(model: type[_Part], content: Any, *, place: tuple[str, ...]) -> _Part:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # Without a cause: pydantic's words quote what was sent.
        raise NotAnEvent(INVALID_FIELD, _complaint(error, place)) from None


def _complaint(error: ValidationError, place: tuple[str, ...]) -> str:
    """Return where the first wrong thing is, and what is wrong with it."""
    [first, *_] = error.errors(include_url=False, include_input=False)
    [wrong] = field_errors([{**first, "loc": ("body", *place, *first["loc"])}])
    return f"{wrong.pointer}: {wrong.message}"
