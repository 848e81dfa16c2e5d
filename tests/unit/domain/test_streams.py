"""Letters' ids, and whom a message names."""

import json
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.streams import Delivery, letter_id, names

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


class TestNames:
    @given(user_id=st.uuids())
    def test_finds_an_id_however_it_is_written(self, user_id: UUID) -> None:
        for written in (str(user_id), str(user_id).upper(), user_id.hex, f"urn:uuid:{user_id}"):
            assert names(json.dumps({"user_id": written}).encode(), user_id)
            assert names(b"{broken" + written.encode(), user_id)

    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xfe", str(UUID(int=7)).encode()])
    def test_finds_nobody_else(self, body: bytes) -> None:
        assert not names(body, uuid4())
