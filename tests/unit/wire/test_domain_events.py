"""Events from the broker: read or refused, in words that repeat nothing of them."""

import json
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field

from ecs.domain.events import ApplicationSubmitted, Cause, OutboxMessage
from ecs.integrations.amqp_publisher import body_of
from ecs.wire.domain_events import EventPart, NotAnEvent, ReceivedEvent, read_event
from ecs.wire.forms import StrictUuid

NAME: Final = "prequalification.score-made"
EVENT_ID: Final = "01890a5d-ac96-774b-bcce-b302099a8057"
SECRET: Final = "ABCPE1234F"
JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Score(EventPart):
    application_id: StrictUuid
    score: int = Field(ge=300, le=900)


def an_event(**changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": EVENT_ID,
        "source": "/ecs",
        "type": NAME,
        "time": "2026-11-21T12:00:00.5+00:00",
        "datacontenttype": "application/json",
        "requestid": "req-1",
        "data": {"application_id": str(UUID(int=7)), "score": 700},
    } | changes


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in an_event().items() if key != name}


def read(content: Any) -> ReceivedEvent[Score]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_event(body, model=Score, name=NAME)


def test_an_event_is_its_id_its_request_and_its_data() -> None:
    assert read(an_event()) == ReceivedEvent(
        id=UUID(EVENT_ID),
        cause=Cause(request_id="req-1", trace_parent=None),
        data=Score(application_id=UUID(int=7), score=700),
    )


@pytest.mark.parametrize("name", ["requestid", "time", "datacontenttype"])
def test_what_cloudevents_leaves_open_may_be_left_out(name: str) -> None:
    event = read(without(name))
    assert event.cause.request_id == (None if name == "requestid" else "req-1")


def test_attributes_that_others_have_added_are_ignored() -> None:
    assert read(an_event(tracestate="a=1", subject="x")).data.score == 700


PLACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_place_in_a_trace_is_read() -> None:
    assert read(an_event(traceparent=PLACE)).cause.trace_parent == PLACE


@given(odd=JSON_VALUES | st.text(max_size=300))
@example(odd=PLACE + "-1")
@example(odd=PLACE.upper())
def test_no_message_is_lost_for_an_odd_place_in_a_trace(odd: Any) -> None:
    event = read(an_event(traceparent=odd))
    assert (event.data.score, event.cause.trace_parent) == (700, None)


@given(name=st.text().filter(lambda name: name not in Score.model_fields), value=JSON_VALUES)
def test_fields_that_others_have_added_are_ignored(name: str, value: Any) -> None:
    data = {"application_id": str(UUID(int=7)), "score": 700, name: value}
    assert read(an_event(data=data)).data == Score(application_id=UUID(int=7), score=700)


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        (b"", "malformed", "not valid JSON"),
        (b"\xff", "malformed", "not valid JSON"),
        (b'{"id": 1, "id": 2}', "malformed", "not valid JSON"),
        (b"[]", "malformed", "JSON object"),
        (b" " * (1024 * 1024 + 1), "malformed", "1 MiB"),
        (without("id"), "invalid_field", "/id: "),
        (without("type"), "invalid_field", "/type: "),
        (without("data"), "invalid_field", "/data: "),
        (without("specversion"), "invalid_field", "/specversion: "),
        (an_event(specversion="0.3"), "invalid_field", "/specversion: "),
        (an_event(id=SECRET), "invalid_field", "/id: "),
        (an_event(id=7), "invalid_field", "/id: "),
        (an_event(time=SECRET), "invalid_field", "/time: "),
        (an_event(requestid=7), "invalid_field", "/requestid: "),
        (an_event(requestid="x" * 129), "invalid_field", "/requestid: "),
        (an_event(datacontenttype="text/xml"), "invalid_field", "/datacontenttype: "),
        (an_event(data=SECRET), "invalid_field", "/data: "),
        (an_event(data={"score": 700}), "invalid_field", "/data/application_id: "),
        (
            an_event(data=an_event()["data"] | {"score": "700"}),
            "invalid_field",
            "/data/score: ",
        ),
        (an_event(data=an_event()["data"] | {"score": 901}), "invalid_field", "/data/score: "),
        (an_event(type=SECRET), "unexpected_type", NAME),
    ],
)
def test_anything_else_is_refused_and_the_reason_repeats_none_of_it(
    content: Any, code: str, place: str
) -> None:
    with pytest.raises(NotAnEvent) as refused:
        read(content)
    assert refused.value.code == code
    assert place in refused.value.reason
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


@given(data=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_whatever_comes_is_an_event_or_is_refused(data: Any) -> None:
    for content in (data, an_event(data=data), an_event(id=data), an_event(type=data)):
        with pytest.raises(NotAnEvent):
            read(content)


@given(request_id=st.none() | st.text(max_size=128), application_id=st.uuids())
def test_what_the_relay_writes_can_be_read(request_id: str | None, application_id: UUID) -> None:
    message = OutboxMessage(
        id=uuid4(),
        name=NAME,
        kind=ApplicationSubmitted.kind,
        destination=ApplicationSubmitted.destination,
        payload={"application_id": str(application_id), "score": 650},
        request_id=request_id,
        attempt=1,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
    )
    body = body_of(message)
    assert body is not None
    event = read_event(body, model=Score, name=NAME)
    assert (event.id, event.cause.request_id) == (message.id, request_id)
    assert event.data == Score(application_id=application_id, score=650)
