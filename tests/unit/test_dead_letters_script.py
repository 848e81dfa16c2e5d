"""How the command shows dead letters, and which ones its words choose."""

import argparse
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ecs.domain.streams import StoredDeadLetter
from scripts.dead_letters import Choice, age_of, counts_of, harmless, size_of, table_of

PERSON = UUID("8a4fd7b2-6f0f-4a55-8d0e-0d2b1b0f8c11")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_letter(
    number: int,
    code: str = "malformed",
    *,
    body: bytes = b'{"secret": 1}',
    reason: str = "it is not JSON",
) -> StoredDeadLetter:
    return StoredDeadLetter(
        message_id=UUID(int=number),
        body=body,
        code=code,
        reason=reason,
        client=None,
        died_at=NOW - timedelta(hours=3),
    )


class TestChoice:
    @pytest.mark.parametrize(
        ("words", "chosen"),
        [
            ("all", {1, 2, 3}),
            ("malformed", {1, 3}),
            ("unknown_user, 00000000-0000-0000-0000-000000000003", {2, 3}),
            ("{00000000000000000000000000000001}", {1}),
            ("never", set()),
            (f"user:{PERSON}", {2}),
            (f"USER,user:{str(PERSON).upper()},00000000-0000-0000-0000-000000000001", {1, 2}),
        ],
    )
    def test_takes_codes_and_ids(self, words: str, chosen: set[int]) -> None:
        named = f'{{"user_id": "{PERSON}"}}'.encode()
        letters = [a_letter(1), a_letter(2, "unknown_user", body=named), a_letter(3)]
        choice = Choice.of(words)
        assert {letter.message_id.int for letter in letters if choice(letter)} == chosen

    @pytest.mark.parametrize("words", [" , ", "user:", "user:me", "all,user:12"])
    def test_is_never_empty_and_never_of_nobody(self, words: str) -> None:
        with pytest.raises(argparse.ArgumentTypeError):
            Choice.of(words)

    def test_is_said_in_its_own_words(self) -> None:
        assert str(Choice.of(f"x user:{PERSON},a")) == f"a, user:{PERSON}, x"


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=5), "5 s"),
        (timedelta(minutes=61), "1 h"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(days=40), "40 d"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_an_age_is_its_largest_unit(passed: timedelta, text: str) -> None:
    assert age_of(NOW - passed, now=NOW) == text


def test_an_unknown_age_is_a_dash() -> None:
    assert age_of(None, now=NOW) == "-"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB")])
def test_a_size_is_readable(count: int, text: str) -> None:
    assert size_of(count) == text


def test_the_table_shows_the_reason_and_never_the_body() -> None:
    out = StringIO()
    Console(file=out, width=160).print(table_of([a_letter(7)], now=NOW))
    shown = out.getvalue()
    assert "00000000-0000-0000-0000-000000000007" in shown
    assert "it is not JSON" in shown
    assert "3 h" in shown
    assert "secret" not in shown


def test_the_table_obeys_nothing_that_a_sender_has_written() -> None:
    orders = "[red]\x1b]0;owned\x07\x1b[2J\u202eleft\r\n[/]"
    out = StringIO()
    console = Console(file=out, width=200, force_terminal=True, color_system=None)
    letters = [a_letter(1, code=orders, reason="[link=http://x]" + orders)]
    console.print(table_of(letters, now=NOW), counts_of(letters))
    shown = out.getvalue()
    assert "[red]" in shown
    assert "[link=http://x]" in shown
    for order in ("\x1b]0", "\x1b[2J", "\x07", "\u202e", "\r"):
        assert order not in shown


@given(text=st.text(st.characters()))
def test_what_is_harmless_fits_into_a_line_and_can_be_written(text: str) -> None:
    shown = harmless(text).plain
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert len(shown) == min(len(text), 300)


def test_only_the_most_frequent_codes_are_counted_out() -> None:
    shown = counts_of([a_letter(1, code=f"code-{number}") for number in range(21)]).plain
    assert shown.count("code-") == 20
    assert shown.endswith(", ...")
