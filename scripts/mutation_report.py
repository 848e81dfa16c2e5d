"""
Show how many changes of the domain's code the tests noticed, after ``mutmut run``.

    python -m scripts.mutation_report

Each change that no test noticed is printed in full. Exit code 1 when fewer than 90 % were noticed.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

FOLDER: Final = Path("mutants")
DOMAIN: Final = Path("ecs/domain")
RESULTS: Final = ".meta"
NOTICED: Final = frozenset({"killed", "timeout", "caught by type check"})
SHARE_MIN: Final = 0.9

# How each change of a file ended, by its name.
Outcomes = dict[str, str]


def main() -> None:
    """Read what mutmut found and print it; exit with 1 when too little was noticed."""
    found = read_outcomes(FOLDER)
    if not found:
        sys.exit("Nothing was changed: run make mutation.")
    console = Console()
    for diff in unnoticed(found):
        console.print(diff, markup=False, highlight=False, soft_wrap=True)
    console.print(table_of(found))
    if share_noticed(found) < SHARE_MIN:
        sys.exit(f"Fewer than {SHARE_MIN:.0%} of the changes were noticed.")


def read_outcomes(folder: Path) -> dict[Path, Outcomes]:
    """Return what became of every change, file by file; a file without any is left out."""
    found: dict[Path, Outcomes] = {}
    for results in sorted(folder.rglob(f"*.py{RESULTS}")):
        exit_codes = json.loads(results.read_text())["exit_code_by_key"]
        # None has no end yet: only some of the changes were asked for.
        tried = {name: code for name, code in exit_codes.items() if code is not None}
        if tried:
            source = results.relative_to(folder).with_suffix("")
            found[source] = {name: status_by_exit_code[code] for name, code in tried.items()}
    return found


def share_noticed(found: dict[Path, Outcomes]) -> float:
    """Return which share of all changes made a test fail, or never end."""
    statuses = [status for outcomes in found.values() for status in outcomes.values()]
    return sum(status in NOTICED for status in statuses) / len(statuses)


def unnoticed(found: dict[Path, Outcomes]) -> Iterator[str]:
    """Yield each change that no test noticed: its name, its end, and the lines it changed."""
    for source, outcomes in found.items():
        for name, status in outcomes.items():
            if status not in NOTICED:
                lines = get_diff_for_mutant(name, path=source).splitlines()[2:]
                changed = [line for line in lines if line.startswith(("-", "+"))]
                yield "\n".join([f"{name}: {status}", *changed])


def table_of(found: dict[Path, Outcomes]) -> Table:
    """Return the numbers of each file, and of all together."""
    table = Table("file", box=SIMPLE_HEAD)
    for title in ("changes", "noticed", "missed", "untested", "share"):
        table.add_column(title, justify="right")
    counted = {
        str(source.relative_to(DOMAIN)): Counter(outcomes.values())
        for source, outcomes in found.items()
    }
    for name, ends in {**counted, "all": sum(counted.values(), Counter[str]())}.items():
        whole, noticed = ends.total(), sum(ends[end] for end in NOTICED)
        counts = (whole, noticed, whole - noticed - ends["no tests"], ends["no tests"])
        table.add_row(name, *map(str, counts), f"{noticed / whole:.1%}")
    return table


if __name__ == "__main__":
    main()
