"""How the command shows dead letters, and which ones its words choose."""

import argparse
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID

import pytest
from rich.console import Console

from ecs.domain.streams import StoredDeadLetter
from scripts.dead_letters import Choice, age_of, size_of, table_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_letter(number: int, code: str = "malformed") -> StoredDeadLetter:
    return StoredDeadLetter(
        message_id=UUID(int=number),
        body=b'{"secret": 1}',
        code=code,
        reason="it is not JSON",
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
        ],
    )
    def test_takes_codes_and_ids(self, words: str, chosen: set[int]) -> None:
        letters = [a_letter(1), a_letter(2, "unknown_user"), a_letter(3)]
        choice = Choice.of(words)
        assert {letter.message_id.int for letter in letters if choice(letter)} == chosen

    def test_is_never_empty(self) -> None:
        with pytest.raises(argparse.ArgumentTypeError):
            Choice.of(" , ")


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
