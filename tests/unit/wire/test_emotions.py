import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.affect import Emotion
from ecs.domain.emotions.events import IncomingEvent, Source, Verdict
from ecs.wire.emotions import EXPLANATIONS, MESSAGE_BYTES_MAX, EmotionalEventIn, read_message
from ecs.wire.field_errors import FieldError
from ecs.wire.ingestion import ITEMS_MAX, ReadItems
from ecs.wire.strict_json import NotStrictJson
from tests.corpora import hostile_json, odd_json

EVENT_ID = "01890000-0000-7000-8000-00000000000a"
USER_ID = "01890000-0000-7000-8000-00000000000b"
CLIENT_ID = UUID("01890000-0000-7000-8000-00000000000c")
DIMENSIONS = ("arousal", "valence")
SECRET = "zebra-7c1f"
HOSTILE = hostile_json()
# What is JSON but no object, and so no event.
ODD = {name: body for name, body in odd_json().items() if not isinstance(json.loads(body), dict)}


def an_item(**changes: Any) -> dict[str, Any]:
    return {
        "event_id": EVENT_ID,
        "user_id": USER_ID,
        "captured_at": "2026-01-31T09:30:00Z",
        "emotion_primary": "happiness",
        "emotion_confidence": 0.9,
        "arousal": 0.25,
        "valence": -0.5,
        "source": "wearable",
        **changes,
    }


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in an_item().items() if name != field}


def read(*items: Any) -> ReadItems[EmotionalEventIn]:
    """Read items as both doors do: after a journey as JSON."""
    return ReadItems(
        read_message(json.dumps({"events": items}).encode()),
        model=EmotionalEventIn,
        id_field="event_id",
    )


def complaint(item: Any) -> FieldError:
    found = read(item)
    assert found.readable == {}
    return found.complaints[0]


def message_of(number: int) -> bytes:
    return json.dumps({"events": [0] * number}).encode()


class TestReadMessage:
    def test_one_event_is_a_batch_of_one(self) -> None:
        assert read_message(json.dumps(an_item()).encode()) == [an_item()]

    @pytest.mark.parametrize("number", [1, 2, ITEMS_MAX])
    def test_a_batch_is_what_it_holds(self, number: int) -> None:
        assert read_message(message_of(number)) == [0] * number

    def test_the_events_are_not_looked_at(self) -> None:
        assert read_message(b'{"events": [null, {}, [], "x", {"events": []}]}') == [
            *(None, {}, [], "x", {"events": []})
        ]
        assert read_message(b"{}") == [{}]

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param({"events": []}, id="no-events"),
            pytest.param({"events": [0] * (ITEMS_MAX + 1)}, id="one-too-many"),
            pytest.param({"events": None}, id="null"),
            pytest.param({"events": {"0": {}}}, id="object"),
            pytest.param({"events": "x"}, id="text"),
            pytest.param({"events": [{}], "client_id": "x"}, id="another-key"),
            pytest.param({"client_id": "x", "events": [{}]}, id="another-key-first"),
            pytest.param(an_item(events=[an_item()]), id="event-and-batch"),
            pytest.param([an_item()], id="list"),
            pytest.param(None, id="nothing"),
            pytest.param(True, id="boolean"),
            pytest.param(7, id="number"),
            pytest.param("event", id="a-text"),
        ],
    )
    def test_anything_else_is_refused(self, content: Any) -> None:
        with pytest.raises(NotStrictJson):
            read_message(json.dumps(content).encode())

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_json_is_refused(self, name: str) -> None:
        with pytest.raises(NotStrictJson):
            read_message(HOSTILE[name])

    @pytest.mark.parametrize("name", ODD)
    def test_odd_json_is_refused(self, name: str) -> None:
        with pytest.raises(NotStrictJson):
            read_message(ODD[name])

    def test_a_mebibyte_is_read_and_no_byte_more(self) -> None:
        body = json.dumps(an_item()).encode()

        assert read_message(body.ljust(MESSAGE_BYTES_MAX)) == [an_item()]
        with pytest.raises(NotStrictJson, match="larger than 1 MiB"):
            read_message(body.ljust(MESSAGE_BYTES_MAX + 1))

    def test_the_size_is_looked_at_before_the_content(self) -> None:
        with pytest.raises(NotStrictJson, match="larger than 1 MiB"):
            read_message(b"[" * (MESSAGE_BYTES_MAX + 1))

    @pytest.mark.parametrize(
        "body",
        [
            b'{"zebra-7c1f": ',
            b'["zebra-7c1f"]',
            b'{"events": "zebra-7c1f"}',
            b'{"events": [{}], "zebra-7c1f": 1}',
        ],
    )
    def test_a_refusal_repeats_nothing(self, body: bytes) -> None:
        with pytest.raises(NotStrictJson) as refused:
            read_message(body)

        assert SECRET not in str(refused.value)

    @given(st.binary() | st.text().map(lambda text: json.dumps({text: [text]}).encode()))
    def test_returns_1_to_1000_items_or_refuses_and_never_breaks(self, body: bytes) -> None:
        with contextlib.suppress(NotStrictJson):
            assert 1 <= len(read_message(body)) <= ITEMS_MAX


class TestAnEvent:
    def test_becomes_the_value_of_the_domain(self) -> None:
        (item,) = read(an_item()).readable.values()

        assert item.at(7, client_id=CLIENT_ID) == IncomingEvent(
            index=7,
            client_id=CLIENT_ID,
            event_id=UUID(EVENT_ID),
            user_id=UUID(USER_ID),
            captured_at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
            emotion="happiness",
            confidence=0.9,
            arousal=0.25,
            valence=-0.5,
            source="wearable",
        )

    def test_needs_no_source(self) -> None:
        (item,) = read(without("source")).readable.values()

        assert item.at(0, client_id=CLIENT_ID).source == "unknown"

    @pytest.mark.parametrize("emotion", list(Emotion))
    def test_may_be_of_any_known_emotion(self, emotion: Emotion) -> None:
        (item,) = read(an_item(emotion_primary=emotion.value)).readable.values()

        assert item.emotion_primary == emotion

    @pytest.mark.parametrize("source", list(Source))
    def test_may_be_of_any_known_source(self, source: Source) -> None:
        (item,) = read(an_item(source=source.value)).readable.values()

        assert item.source == source

    @pytest.mark.parametrize("number", [0, 1, 0.0, 1.0, -0.0, 5e-324, 0.1 + 0.2])
    def test_confidence_is_a_number_from_0_to_1(self, number: float) -> None:
        (item,) = read(an_item(emotion_confidence=number)).readable.values()

        assert item.emotion_confidence == number
        assert isinstance(item.emotion_confidence, float)

    @pytest.mark.parametrize("field", DIMENSIONS)
    @pytest.mark.parametrize("number", [-1, 0, 1, -1.0, -0.0, 1.0, -5e-324])
    def test_dimensions_are_numbers_from_minus_1_to_1(self, field: str, number: float) -> None:
        (item,) = read(an_item(**{field: number})).readable.values()

        assert getattr(item, field) == number
        assert isinstance(getattr(item, field), float)

    def test_keeps_its_moment_to_the_microsecond_in_utc(self) -> None:
        (item,) = read(an_item(captured_at="2026-01-31T01:30:00.123456-03:00")).readable.values()

        assert item.captured_at == datetime(2026, 1, 31, 4, 30, 0, 123456, tzinfo=UTC)
        assert item.captured_at.tzinfo is UTC


class TestComplaints:
    @pytest.mark.parametrize("field", sorted(set(an_item()) - {"source"}))
    def test_a_missing_field_is_named(self, field: str) -> None:
        assert complaint(without(field)) == FieldError(
            pointer=f"/{field}", code="missing", message="Required; add it."
        )

    @pytest.mark.parametrize(
        ("field", "pointer"),
        [
            ("client_id", "/client_id"),
            ("ingested_at", "/ingested_at"),
            ("Arousal", "/Arousal"),
            ("a/b~c", "/a~1b~0c"),
            ("", "/"),
            ("x" * 500, "/" + "x" * 199),
        ],
    )
    def test_an_unknown_field_is_named(self, field: str, pointer: str) -> None:
        found = complaint(an_item(**{field: SECRET}))

        assert (found.pointer, found.code) == (pointer, "unknown_field")
        assert SECRET not in found.message

    @pytest.mark.parametrize("field", ["event_id", "user_id"])
    @pytest.mark.parametrize(
        "value",
        [
            *("", "zebra-7c1f", "01890000000070008000000000000001", f"{{{EVENT_ID}}}"),
            *(f"urn:uuid:{EVENT_ID}", f"{EVENT_ID}\n", f" {EVENT_ID}", "\uff10" + EVENT_ID[1:]),
            *(None, 7, True, [EVENT_ID], {"zebra-7c1f": 1}),
        ],
        ids=repr,
    )
    def test_an_id_has_one_spelling(self, field: str, value: Any) -> None:
        found = complaint(an_item(**{field: value}))

        assert found == FieldError(
            pointer=f"/{field}",
            code="invalid_value",
            message="Write a UUID as 8-4-4-4-12 hexadecimal digits.",
        )

    @pytest.mark.parametrize(
        "value",
        [
            *("2026-01-31T09:30:00", "2026-01-31", "2026-01-31 09:30:00Z", "now", ""),
            *("2026-02-30T09:30:00Z", "2026-01-31T24:00:00Z", "2026-01-31T09:30:60Z"),
            *("9999-12-31T23:59:59-14:00", 1_700_000_000, 1.5, None, False, ["zebra-7c1f"]),
        ],
        ids=repr,
    )
    def test_an_instant_needs_its_offset(self, value: Any) -> None:
        found = complaint(an_item(captured_at=value))

        assert (found.pointer, found.code) == ("/captured_at", "invalid_value")
        assert found.message.startswith("Write an RFC 3339 instant")

    @pytest.mark.parametrize("field", ["emotion_primary", "source"])
    @pytest.mark.parametrize(
        "value", ["", "zebra-7c1f", "Fear", "FEAR", "fear\n", " voice", "\x00", "f\u0435ar"]
    )
    def test_a_word_is_one_of_the_known_ones(self, field: str, value: str) -> None:
        found = complaint(an_item(**{field: value}))

        assert (found.pointer, found.code) == (f"/{field}", "invalid_value")
        words = Emotion if field == "emotion_primary" else Source
        assert found.message == f"Use one of {', '.join(word.value for word in words)}."

    @pytest.mark.parametrize("field", ["emotion_primary", "source"])
    @pytest.mark.parametrize("value", [None, 1, True, ["fear"], {"fear": 1}], ids=repr)
    def test_a_word_is_text(self, field: str, value: Any) -> None:
        found = complaint(an_item(**{field: value}))

        assert (found.pointer, found.code) == (f"/{field}", "invalid_type")

    @pytest.mark.parametrize("field", ["emotion_confidence", *DIMENSIONS])
    @pytest.mark.parametrize(
        "value", [None, "1", "0.5", "", "NaN", True, False, [], [0.5], {}], ids=repr
    )
    def test_a_number_is_a_number(self, field: str, value: Any) -> None:
        found = complaint(an_item(**{field: value}))

        assert (found.pointer, found.code) == (f"/{field}", "invalid_type")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("emotion_confidence", -5e-324),
            ("emotion_confidence", -1),
            ("emotion_confidence", 1.0000000000000002),
            *[
                (field, value)
                for field in (*DIMENSIONS, "emotion_confidence")
                for value in (-2, 2, 1.0000000000000002, -1.0000000000000002, 1e300, 2**63, 10**30)
            ],
        ],
    )
    def test_a_number_is_in_its_range(self, field: str, value: float) -> None:
        assert complaint(an_item(**{field: value})) == FieldError(
            pointer=f"/{field}", code="out_of_range", message="Outside the permitted range."
        )

    @pytest.mark.parametrize("field", ["emotion_confidence", *DIMENSIONS])
    def test_a_whole_number_beyond_any_float_is_refused(self, field: str) -> None:
        assert complaint(an_item(**{field: 10**400})).pointer == f"/{field}"

    @pytest.mark.parametrize("item", [None, 1, 1.5, "text", [], [1], True], ids=repr)
    def test_an_event_is_an_object(self, item: Any) -> None:
        found = read(item)

        assert found.ids == [None]
        assert (found.complaints[0].pointer, found.complaints[0].code) == ("", "invalid_type")

    @given(
        st.dictionaries(
            st.sampled_from(sorted(an_item())),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=40)
            | st.integers(min_value=10**20, max_value=10**30),
            min_size=1,
        )
    )
    def test_nothing_of_a_bad_value_is_repeated(self, changes: dict[str, Any]) -> None:
        found = complaint(an_item(**changes))

        assert found.pointer[1:] in changes
        assert str(changes[found.pointer[1:]]) not in found.message


class TestABatch:
    def test_bad_items_do_not_hide_good_ones(self) -> None:
        found = read(an_item(), None, an_item(valence=2), an_item(), without("event_id"))

        assert found.ids == [EVENT_ID, None, EVENT_ID, EVENT_ID, None]
        assert sorted(found.readable) == [0, 3]
        assert sorted(found.complaints) == [1, 2, 4]

    def test_an_id_is_told_in_its_usual_spelling(self) -> None:
        assert read(an_item(event_id=EVENT_ID.upper())).ids == [EVENT_ID]

    @given(
        st.lists(
            st.just(an_item())
            | st.none()
            | st.integers()
            | st.dictionaries(st.sampled_from(sorted(an_item())), st.none() | st.booleans()),
            min_size=1,
            max_size=20,
        )
    )
    def test_every_item_is_read_or_complained_about(self, items: list[Any]) -> None:
        found = read(*items)

        assert len(found.ids) == len(items)
        assert set(found.readable).isdisjoint(found.complaints)
        assert set(found.readable) | set(found.complaints) == set(range(len(items)))


def test_every_verdict_against_an_item_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Verdict) - {Verdict.ACCEPTED, Verdict.DUPLICATE}
    assert all(text.endswith(".") for text in EXPLANATIONS.values())
