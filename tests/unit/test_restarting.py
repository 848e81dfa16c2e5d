"""Which programs an operator means by a name."""

from pathlib import Path

import pytest

from scripts.stack.errors import StackError
from scripts.stack.place import Place
from scripts.stack.ports import NAMES
from scripts.stack.programs import Layout
from scripts.stack.restarting import named


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    ports = dict.fromkeys((*NAMES, "tools-first", "tools-last"), 1)
    return Layout(place=Place(home=tmp_path, throwaway=True), ports=ports)


@pytest.mark.parametrize(
    ("name", "programs"),
    [
        ("api", ["api-1", "api-2"]),
        ("api-2", ["api-2"]),
        ("rq-accounts", ["rq-accounts-1", "rq-accounts-2"]),
        ("cron", ["cron"]),
    ],
)
def test_a_name_means_a_program_or_all_that_are_numbered_under_it(
    layout: Layout, name: str, programs: list[str]
) -> None:
    assert [program.name for program in named(layout, name)] == programs


@pytest.mark.parametrize("name", ["", "ap", "api-", "api-3", ".*"])
def test_a_name_that_nobody_has_lists_those_that_are_known(layout: Layout, name: str) -> None:
    with pytest.raises(StackError, match="there are postgres, redis"):
        named(layout, name)


def test_only_what_has_work_in_hand_is_given_long_to_stop(layout: Layout) -> None:
    seconds = {
        name: named(layout, name)[0].stop_seconds
        for name in ("api", "rq-accounts", "rq-mail", "redis")
    }

    assert seconds == {"api": 30, "rq-accounts": 45, "rq-mail": 160, "redis": 8}
