"""Prometheus' own tools on its configuration, and on the tests of every alert."""

import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from scripts.stack import system
from scripts.stack.console import silence
from tests.monitoring import ALERTS, PROMETHEUS, RECORDED, RECORDING, RULE_TESTS, alerts, compared

EACH_ALERT: Final = pytest.mark.parametrize("name", sorted(alerts()))
OTHER_WAY: Final = {"<": ">", ">": "<"}


@pytest.fixture(scope="session")
def promtool() -> str:
    """Debian's, installed when it is missing."""
    system.ensure_monitoring(silence)
    return system.path_of("promtool")


def run(promtool: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *words], capture_output=True, text=True, check=False)


def laid_out(folder: Path, *, alert: dict[str, Any]) -> str:
    """Lay one alert, what it is derived from and its tests into a folder; return the tests."""
    (folder / "rules").mkdir()
    (folder / "tests").mkdir()
    groups = yaml.safe_load(RECORDING.read_text())["groups"]
    needed = [group for group in groups if _records(group) & _mentioned(alert["expr"])]
    (folder / "rules" / RECORDING.name).write_text(yaml.safe_dump({"groups": needed}))
    (name,) = (
        group["name"]
        for group in yaml.safe_load(ALERTS.read_text())["groups"]
        if alert["alert"] in {rule["alert"] for rule in group["rules"]}
    )
    only = {"groups": [{"name": name, "rules": [alert]}]}
    (folder / "rules" / ALERTS.name).write_text(yaml.safe_dump(only))
    tests = folder / "tests" / f"{alert['alert']}.yml"
    tests.write_text((RULE_TESTS / tests.name).read_text())
    return str(tests)


def changes(alert: dict[str, Any]) -> list[dict[str, str]]:
    """An alert's rule, each time with one thing that is wrong."""
    left, operator, number = compared(alert)
    limit = float(number)
    step = 1 if limit <= 1 and limit.is_integer() else limit / 2
    return [
        {"expr": f"{left} {OTHER_WAY[operator]} {number}"},
        {"expr": f"{left} {operator} {limit + step}"},
        {"expr": f"{left} {operator} {limit - step}"},
        {"for": "0s"},
    ]


class TestTheConfiguration:
    def test_is_accepted_with_its_rules(self, promtool: str) -> None:
        checked = run(promtool, "check", "config", str(PROMETHEUS / "prometheus.yml"))
        assert checked.returncode == 0, checked.stderr


class TestAlerts:
    @EACH_ALERT
    def test_fires_and_is_silent_where_it_should_and_another_would_be_noticed(
        self, promtool: str, name: str, tmp_path: Path
    ) -> None:
        alert = alerts()[name]
        for number, change in enumerate([{}, *changes(alert)]):
            folder = tmp_path / str(number)
            folder.mkdir()
            tested = run(promtool, "test", "rules", laid_out(folder, alert=alert | change))
            assert (tested.returncode == 0) == (change == {}), (change, tested.stderr)


def _records(group: dict[str, Any]) -> set[str]:
    return {rule["record"] for rule in group["rules"]}


def _mentioned(expression: str) -> set[str]:
    return set(RECORDED.findall(expression))
