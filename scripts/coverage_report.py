"""
Show what the tests cover, package by package, after ``pytest --cov``.

    python -m scripts.coverage_report
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

COUNTED = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def main() -> None:
    """Read what was measured and print a table; exit with 1 when nothing was."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(report)]
        if subprocess.run(command, check=False).returncode:  # noqa: S603  (our own words)
            sys.exit("Nothing was measured: run make coverage.")
        measured = json.loads(report.read_text())
    Console().print(table_of(by_package(measured["files"])))


def by_package(files: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Return the counts of each folder, and of all together as ``all``, in their order."""
    found: dict[str, Counter[str]] = {}
    for name in sorted(files):
        summary = files[name]["summary"]
        counts = Counter({word: summary.get(word, 0) for word in COUNTED})
        for package in (str(PurePath(name).parent), "all"):
            found.setdefault(package, Counter()).update(counts)
    return {name: found[name] for name in sorted(found, key=lambda name: (name == "all", name))}


def table_of(packages: Mapping[str, Counter[str]]) -> Table:
    """Return the packages with their lines and branches, and the share of both that was run."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("package", no_wrap=True)
    for title in ("lines", "not run", "branches", "not taken", "covered"):
        table.add_column(title, justify="right")
    for name, counts in packages.items():
        lines, branches = counts["num_statements"], counts["num_branches"]
        missed = lines - counts["covered_lines"], branches - counts["covered_branches"]
        whole = lines + branches
        share = 1 - sum(missed) / whole if whole else 1.0
        table.add_row(
            name, str(lines), str(missed[0]), str(branches), str(missed[1]), f"{share:.1%}"
        )
    return table


if __name__ == "__main__":
    main()
