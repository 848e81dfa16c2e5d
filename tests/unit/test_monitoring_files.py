"""Rules, alerts and dashboards against the catalogue of measures, the documents and each other."""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from ecs.domain.measures import ALL
from ecs.domain.telemetry import Histogram
from scripts.stack import monitoring
from scripts.stack.place import CHECKOUT, Place
from scripts.stack.ports import NAMES
from scripts.stack.programs import Layout
from tests.containers import compose
from tests.documents import anchors
from tests.monitoring import (
    OTHERWISE,
    PROMETHEUS,
    RECORDED,
    RECORDING,
    RULE_TESTS,
    SINCE_THE_BEGINNING,
    alerts,
    compared,
    dashboards,
    may_be_of_nothing,
    panels,
    queries,
    rules,
    since_the_beginning,
)

MEASURES: Final = {one.name: one for one in ALL}
SUFFIX: Final = re.compile(r"_(bucket|count|sum)$")
NAME: Final = re.compile(r"\becs_[a-z0-9_]+")
SELECTED: Final = re.compile(r"\b(ecs_[a-z0-9_]+)\{([^}]*)\}")
GIVEN_BY_PROMETHEUS: Final = {"job", "instance", "le"}
DASHBOARD: Final = pytest.mark.parametrize("name", sorted(dashboards()))
OPERATIONS: Final = CHECKOUT / "docs" / "operations.md"
MONITORING: Final = CHECKOUT / "docs" / "monitoring.md"


def measured(name: str) -> str:
    """The measure to which a series belongs."""
    base = SUFFIX.sub("", name)
    return base if base in MEASURES and isinstance(MEASURES[base], Histogram) else name


def used() -> set[str]:
    """Every measure that a query asks for."""
    return {measured(name) for query in queries() for name in NAME.findall(query.expression)}


class TestQueries:
    def test_ask_for_measures_that_exist(self) -> None:
        assert used() - set(MEASURES) == set()

    def test_leave_no_measure_unseen(self) -> None:
        assert set(MEASURES) - used() == set()

    def test_select_by_labels_that_exist(self) -> None:
        for query in queries():
            for name, selection in SELECTED.findall(query.expression):
                labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", selection))
                known = {*MEASURES[measured(name)].labels, *GIVEN_BY_PROMETHEUS}
                assert labels <= known, query.where

    def test_name_only_what_is_recorded(self) -> None:
        recorded = [rule["record"] for rule in rules(RECORDING)]
        assert len(recorded) == len(set(recorded))
        asked = {name for query in queries() for name in RECORDED.findall(query.expression)}
        assert asked == set(recorded)


class TestAlerts:
    @pytest.mark.parametrize("name", sorted(alerts()))
    def test_each_says_what_is_wrong_and_where_to_read_on(self, name: str) -> None:
        alert = alerts()[name]
        compared(alert)
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert re.fullmatch(r"\d+[mh]", alert["for"])
        summary, runbook = alert["annotations"]["summary"], alert["annotations"]["runbook"]
        assert summary.endswith(".")
        assert runbook == "docs/operations.md#alerts"
        assert "alerts" in anchors(OPERATIONS)

    def test_each_has_one_line_in_the_runbook_and_one_file_of_tests(self) -> None:
        section = OPERATIONS.read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
        lines = Counter(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        assert lines == Counter(list(alerts()))
        assert {file.stem for file in RULE_TESTS.glob("*.yml")} == set(alerts())

    def test_the_runbook_names_the_severity_and_the_limit(self) -> None:
        text = OPERATIONS.read_text()
        for name, alert in alerts().items():
            row = re.search(rf"^\| `{name}` \| (\w+) \|", text, re.MULTILINE)
            assert row is not None
            assert row[1] == alert["labels"]["severity"]


class TestDashboards:
    @DASHBOARD
    def test_each_has_a_lasting_address_and_one_source(self, name: str) -> None:
        dashboard = dashboards()[name]
        assert dashboard["uid"] == f"ecs-{name}"
        assert dashboard["title"]
        assert dashboard["description"]
        sources = yaml.safe_load(
            (CHECKOUT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
        )
        (source,) = sources["datasources"]
        for panel in panels(dashboard):
            for part in (panel, *panel["targets"]):
                assert part["datasource"] == {"type": source["type"], "uid": source["uid"]}

    @DASHBOARD
    def test_each_panel_says_what_it_shows_and_in_which_unit(self, name: str) -> None:
        shown = panels(dashboards()[name])
        assert len({panel["title"] for panel in shown}) == len(shown)
        for panel in shown:
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None
            assert all(target["legendFormat"] for target in panel["targets"])

    @DASHBOARD
    def test_a_quantile_or_ratio_of_nothing_goes_on_with_all_since_the_processes_began(
        self, name: str
    ) -> None:
        for panel in panels(dashboards()[name]):
            asked = [target["expr"].partition(OTHERWISE) for target in panel["targets"]]
            for window, _, otherwise in asked:
                wanted = since_the_beginning(window) if may_be_of_nothing(window) else ""
                assert otherwise == wanted, panel["title"]
            says_so = panel["description"].endswith(f" {SINCE_THE_BEGINNING}")
            assert says_so == any(otherwise for _, _, otherwise in asked), panel["title"]

    @DASHBOARD
    def test_no_two_panels_lie_on_each_other(self, name: str) -> None:
        taken: Counter[tuple[int, int]] = Counter()
        for panel in dashboards()[name]["panels"]:
            at = panel["gridPos"]
            assert at["x"] + at["w"] <= 24
            taken.update(
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            )
        assert set(taken.values()) == {1}

    def test_compose_shows_all_of_them(self) -> None:
        provider = yaml.safe_load(
            (CHECKOUT / "deploy/grafana/provisioning/dashboards/ecs.yml").read_text()
        )["providers"][0]
        for kind in ("dev", "prod"):
            mounted = compose(kind)["services"]["grafana"]["volumes"]
            place = provider["options"]["path"]
            assert f"./deploy/grafana/dashboards:{place}:ro" in mounted
            assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in mounted


class TestConfiguration:
    def test_asks_natively_for_the_jobs_that_compose_asks_for(self, tmp_path: Path) -> None:
        native = monitoring.configuration(_layout(tmp_path))
        here = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        assert _jobs(native) == _jobs(here)

    def test_asks_every_process_by_its_name_on_this_machine_only(self, tmp_path: Path) -> None:
        found = {
            target["labels"]["instance"]: target["targets"][0]
            for job in monitoring.configuration(_layout(tmp_path))["scrape_configs"]
            for target in job["static_configs"]
        }
        assert {"api-1", "api-2", "outbox-relay", "backlog", "cron", "postgres"} <= set(found)
        assert len(set(found.values())) == len(found)
        assert {address.partition(":")[0] for address in found.values()} == {"127.0.0.1"}


class TestTheDocument:
    def test_lists_every_measure_with_its_labels(self) -> None:
        rows = re.findall(r"^\| `(ecs_\w+)` \| (.*?) \|", MONITORING.read_text(), re.MULTILINE)
        assert dict(rows) == {
            one.name: ", ".join(f"`{label}`" for label in one.labels) or "–"  # noqa: RUF001  (for nothing)
            for one in ALL
        }
        assert len(rows) == len(ALL)


def _layout(home: Path) -> Layout:
    ports = {name: 20_000 + offset for offset, name in enumerate(NAMES)}
    return Layout(place=Place(home=home, throwaway=True), ports=ports)


def _jobs(configuration: dict[str, Any]) -> list[str]:
    return [job["job_name"] for job in configuration["scrape_configs"]]
