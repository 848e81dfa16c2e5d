from io import StringIO
from typing import Any

from rich.console import Console

from scripts.coverage_report import by_package, table_of


def measured(lines: int, covered: int, branches: int = 0, taken: int = 0) -> dict[str, Any]:
    return {
        "summary": {
            "num_statements": lines,
            "covered_lines": covered,
            "num_branches": branches,
            "covered_branches": taken,
        }
    }


FILES = {
    "ecs/domain/money.py": measured(10, 10, 4, 4),
    "ecs/config.py": measured(30, 15),
    "ecs/log.py": measured(10, 5),
    "ecs/domain/__init__.py": measured(0, 0),
}


def test_counts_each_folder_and_all_together_at_the_end() -> None:
    packages = by_package(FILES)
    assert list(packages) == ["ecs", "ecs/domain", "all"]
    assert packages["ecs"]["num_statements"] == 40
    assert packages["all"]["covered_lines"] == 30


def test_shows_the_share_of_lines_and_branches() -> None:
    text = StringIO()
    Console(file=text, width=100).print(table_of(by_package(FILES)))
    shares = [line.split()[-1] for line in text.getvalue().splitlines() if line.endswith("%  ")]
    assert shares == ["50.0%", "100.0%", "63.0%"]
