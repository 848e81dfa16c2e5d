from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.jobs import (
    MAIL_ATTEMPTS_MAX,
    MAIL_BACKOFF_SECONDS,
    pause_before_retry,
)
from ecs.domain.money import Money
from ecs.domain.notifications import first_name
from tests.letters import a_letter

NO_NAMES: Final = {
    "a link": "http://evil.example/now",
    "a domain": "evil.example",
    "an address": "me@evil.example",
    "digits": "Mar1a",
    "a number": "4550",
    "markup": "<b>Maria</b>",
    "a message in a word": "You-have-won-a-prize-claim-it-today",
    "only an apostrophe": "'",
    "an emoji": "\N{PARTY POPPER}",
    "a hidden direction": "\u202emaria",
    "nothing": "",
    "spaces": "   ",
}


def mail_pause(attempts: int) -> timedelta | None:
    return pause_before_retry(attempts, backoff_seconds=MAIL_BACKOFF_SECONDS)


class TestMailPatience:
    @pytest.mark.parametrize(
        ("attempts", "seconds"),
        [(1, 1), (2, 5), (3, 15), (4, 60), (5, 300), (6, 900), (7, 3600), (30, 3600), (31, None)],
    )
    def test_begins_in_a_hurry_and_ends_with_the_last_attempt(
        self, attempts: int, seconds: int | None
    ) -> None:
        expected = None if seconds is None else timedelta(seconds=seconds)
        assert mail_pause(attempts) == expected

    def test_outlasts_a_night_and_ends_within_two_days(self) -> None:
        pauses = [mail_pause(attempts) for attempts in range(1, MAIL_ATTEMPTS_MAX)]
        whole = sum(filter(None, pauses), timedelta())
        assert timedelta(hours=24) < whole < timedelta(hours=48)

    @given(attempts=st.integers(1, MAIL_ATTEMPTS_MAX - 2))
    def test_never_grows_shorter(self, attempts: int) -> None:
        sooner, later = mail_pause(attempts), mail_pause(attempts + 1)
        assert sooner is not None
        assert later is not None
        assert timedelta(0) < sooner <= later


class TestFirstName:
    @pytest.mark.parametrize(
        ("full_name", "called"),
        [
            ("Maria Souza", "Maria"),
            ("  João   da Silva", "João"),
            ("Jose\N{COMBINING ACUTE ACCENT} Luis", "José"),
            ("D'Angelo Russo", "D'Angelo"),
            ("Sinéad O\u2019Connor", "Sinéad"),
            ("Anne-Marie", "Anne-Marie"),
            ("李 小龙", "李"),
            ("प्रिया शर्मा", "प्रिया"),
            ("x" * 30 + " Y", "x" * 30),
        ],
    )
    def test_is_the_first_word_of_a_name(self, full_name: str, called: str) -> None:
        assert first_name(full_name) == called

    @pytest.mark.parametrize("full_name", NO_NAMES.values(), ids=NO_NAMES)
    def test_is_not_what_could_be_read_as_a_message(self, full_name: str) -> None:
        assert first_name(full_name) is None

    @given(full_name=st.text(max_size=200))
    def test_is_short_and_cannot_be_a_link_whatever_somebody_calls_himself(
        self, full_name: str
    ) -> None:
        called = first_name(full_name)
        assert called is None or (0 < len(called) <= 30 and not set(called) & set(" .:/@<>&\r\n"))


def test_a_letter_shows_nothing_personal_by_accident() -> None:
    shown = repr(a_letter())
    assert not any(
        word in shown for word in ("maria", "Maria", "4,550", "455000", "account is open")
    )


@pytest.mark.parametrize(
    ("cents", "text"),
    [(0, "0.00"), (-5, "-0.05"), (99_999, "999.99"), (455_000, "4,550.00")],
)
def test_an_amount_is_grouped_for_people_and_plain_for_programs(cents: int, text: str) -> None:
    assert Money(cents).grouped == text
    assert str(Money(cents)) == text.replace(",", "")


def test_millions_are_grouped_twice() -> None:
    assert Money(-123_456_789_01).grouped == "-123,456,789.01"
    assert str(Money(-123_456_789_01)) == "-123456789.01"
