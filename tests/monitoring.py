"""The rules, alerts and dashboards under ``deploy/``, as data."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from scripts.stack.place import CHECKOUT

PROMETHEUS: Final = CHECKOUT / "deploy" / "prometheus"
RECORDING: Final = PROMETHEUS / "rules" / "recording.yml"
ALERTS: Final = PROMETHEUS / "rules" / "alerts.yml"
RULE_TESTS: Final = PROMETHEUS / "tests"
DASHBOARDS: Final = CHECKOUT / "deploy" / "grafana" / "dashboards"
RECORDED: Final = re.compile(r"\becs:[a-z0-9_:]+")
ALERT_FORM: Final = re.compile(r"(?P<left>.+) (?P<operator>[<>]) (?P<number>[0-9.]+)")
# What Grafana puts there, on a screen that shows the last hour of what is asked each 15 s.
VARIABLES: Final = {"$__rate_interval": "1m", "$__range": "1h"}
# A quantile or a ratio of nothing is no number: such a query goes on with what is known since the
# processes began, each line by itself.
OTHERWISE: Final = "\nor "
OF_SOMETHING: Final = re.compile(r"histogram_quantile|>= 0|> 0\)")
OVER_THE_WINDOW: Final = re.compile(r"rate\((\w+(?:\{[^}]*\})?)\[\$__rate_interval\]\)")
SINCE_THE_BEGINNING: Final = (
    "Where there was nothing to measure just then, a line shows what holds since the processes"
    " began."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """An expression, and where it stands."""

    where: str
    expression: str


def rules(file: Path) -> list[dict[str, Any]]:
    """The rules of a file, whatever their groups."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Every alert by its name."""
    return {rule["alert"]: rule for rule in rules(ALERTS)}


def compared(alert: dict[str, Any]) -> tuple[str, str, str]:
    """What an alert compares, how, and with which number."""
    found = ALERT_FORM.fullmatch(alert["expr"])
    assert found is not None, f"{alert['alert']} is not <left> <operator> <number>"
    return found["left"], found["operator"], found["number"]


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard by the name of its file."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def may_be_of_nothing(expression: str) -> bool:
    """Whether a query asks for a quantile or a ratio of what happened within moments."""
    return "$__rate_interval" in expression and OF_SOMETHING.search(expression) is not None


def since_the_beginning(expression: str) -> str:
    """The same question about all the time since the processes began."""
    return OVER_THE_WINDOW.sub(r"\1", expression)


def queries() -> Iterator[Query]:
    """Every query of every dashboard, every recorded expression, every alert's left side."""
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield Query(where=f"{name}: {panel['title']}", expression=target["expr"])
    for rule in rules(RECORDING):
        yield Query(where=rule["record"], expression=rule["expr"])
    for name, alert in alerts().items():
        yield Query(where=name, expression=compared(alert)[0])


def substituted(expression: str) -> str:
    """An expression as Grafana would send it."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression
