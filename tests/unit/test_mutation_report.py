import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from scripts.mutation_report import read_outcomes, share_noticed, table_of

# What mutmut writes: 1 killed, 0 survived, 33 no tests, 36 timeout.
RESULTS = {
    "ecs/domain/money.py": {"one": 1, "another": 0, "third": 36},
    "ecs/domain/credit/limit.py": {"one": 33},
    "ecs/domain/period.py": {},
    "ecs/domain/rate.py": {"not asked for": None},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, exit_codes in RESULTS.items():
        file = tmp_path / f"{name}.meta"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"exit_code_by_key": exit_codes}))
    return tmp_path


def test_every_change_that_was_tried_has_its_end(folder: Path) -> None:
    assert read_outcomes(folder) == {
        Path("ecs/domain/credit/limit.py"): {"one": "no tests"},
        Path("ecs/domain/money.py"): {"one": "killed", "another": "survived", "third": "timeout"},
    }


def test_what_fails_or_never_ends_was_noticed(folder: Path) -> None:
    assert share_noticed(read_outcomes(folder)) == 0.5


def test_the_table_adds_everything_up(folder: Path) -> None:
    console = Console(record=True, width=80, file=StringIO())
    console.print(table_of(read_outcomes(folder)))
    rows = [line.split() for line in console.export_text().splitlines() if "%" in line]
    assert rows == [
        ["credit/limit.py", "1", "0", "0", "1", "0.0%"],
        ["money.py", "3", "2", "1", "0", "66.7%"],
        ["all", "4", "2", "1", "1", "50.0%"],
    ]


def test_nothing_was_found_where_nothing_ran(tmp_path: Path) -> None:
    assert read_outcomes(tmp_path) == {}
