"""Letters' ids, and whom a message names."""

import json
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.events import EVENTS
from ecs.domain.streams import (
    DECISIONS,
    EMOTIONS,
    STREAMS,
    Delivery,
    Stream,
    dead_letter_of,
    lasting_id,
    letter_id,
    names,
)

WORDS = st.none() | st.text(max_size=5)


def a_delivery(**changes: object) -> Delivery:
    values: dict[str, object] = {
        "body": b"{}",
        "app_id": "a-client",
        "message_id": "1",
        "redelivered": False,
    }
    return Delivery(**(values | changes))  # type: ignore[arg-type]  # checked by the class


class TestLetterId:
    def test_is_the_same_each_time_the_message_is_delivered(self) -> None:
        first, again = a_delivery(), a_delivery(redelivered=True)
        assert letter_id(first, position=3, body=b"x") == letter_id(again, position=3, body=b"x")

    @given(
        sent=st.lists(
            st.tuples(WORDS, WORDS, st.none() | st.integers(0, 3), st.binary(max_size=3)),
            unique=True,
        )
    )
    def test_is_shared_by_no_two_letters_even_of_one_message_id(
        self, sent: list[tuple[str | None, str | None, int | None, bytes]]
    ) -> None:
        ids = {
            letter_id(a_delivery(app_id=app, message_id=one), position=position, body=body)
            for app, one, position, body in sent
        }
        assert len(ids) == len(sent)

    def test_takes_words_that_are_no_unicode(self) -> None:
        letter_id(a_delivery(app_id="\ud800"), position=None, body=b"")


class TestLastingId:
    def test_is_the_messages_own_where_only_we_send(self) -> None:
        delivery = a_delivery(message_id=str(UUID(int=7)))
        assert lasting_id(delivery, stream=DECISIONS) == UUID(int=7)
        letter = dead_letter_of(delivery, stream=DECISIONS, code="c", reason="r")
        assert (letter.message_id, letter.body, letter.client) == (UUID(int=7), b"{}", "a-client")

    @pytest.mark.parametrize("written", [None, "", "me", "\ud800", "7" * 31])
    def test_is_a_letters_where_somebody_else_sent(self, written: str | None) -> None:
        delivery = a_delivery(message_id=written)
        assert lasting_id(delivery, stream=DECISIONS) == letter_id(
            delivery, position=None, body=b"{}"
        )

    def test_is_a_letters_where_devices_send(self) -> None:
        delivery = a_delivery(message_id=str(UUID(int=7)))
        assert lasting_id(delivery, stream=EMOTIONS) != UUID(int=7)


class TestStreams:
    @given(pauses=st.lists(st.sampled_from([1, 5, 60])), attempt=st.integers(1, 50))
    def test_name_a_queue_for_each_pause_that_a_message_may_take(
        self, pauses: list[int], attempt: int
    ) -> None:
        stream = Stream(
            exchange="e", routing_key="r", queue="q", dead_queue="d", retry_seconds=tuple(pauses)
        )
        seconds = stream.pause_seconds(attempt)
        assert (seconds is None) == (attempt > len(pauses))
        assert seconds is None or stream.retry_queue(seconds) in stream.queues
        assert len(stream.queues) == len(set(stream.queues)) == 2 + len(set(pauses))

    def test_share_no_queue(self) -> None:
        queues = [queue for stream in STREAMS.values() for queue in stream.queues]
        assert len(queues) == len(set(queues))

    def test_carry_every_event_that_goes_to_a_broker(self) -> None:
        carried = {(f"amqp:{one.exchange}", one.routing_key) for one in STREAMS.values()}
        sent = {(one.destination, one.name) for one in EVENTS if one.destination[:4] == "amqp"}
        assert sent <= carried


class TestNames:
    @given(user_id=st.uuids())
    def test_finds_an_id_however_it_is_written(self, user_id: UUID) -> None:
        for written in (str(user_id), str(user_id).upper(), user_id.hex, f"urn:uuid:{user_id}"):
            assert names(json.dumps({"user_id": written}).encode(), user_id)
            assert names(b"{broken" + written.encode(), user_id)

    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xfe", str(UUID(int=7)).encode()])
    def test_finds_nobody_else(self, body: bytes) -> None:
        assert not names(body, uuid4())
