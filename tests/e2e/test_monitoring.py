"""A real Prometheus on the running stack: it reaches everybody, and every query has an answer."""

import json
import math
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import httpx
import pytest

from scripts.stack import answers, monitoring
from scripts.stack.console import silence
from scripts.stack.place import CHECKOUT
from scripts.stack.ports import WORKERS
from scripts.stack.programs import MONITORING_NAMES
from scripts.stack.stack import Stack
from tests.e2e.support import Outside
from tests.monitoring import alerts, queries, substituted

DEMO_SECONDS_MAX: Final = 120
# A rate needs two looks; a third means that the rules have seen the second.
LOOKS: Final = 3
PATIENCE_SECONDS: Final = 60


@pytest.fixture(scope="module")
def prometheus(stack: Stack) -> Iterator[str]:
    """The address of Prometheus; it is gone again afterwards."""
    try:
        yield monitoring.start(stack.layout, public=stack.public, say=silence)
    finally:
        monitoring.stop(stack.layout)
        (stack.public / "prometheus").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def after_the_demo(stack: Stack, prometheus: str) -> str:
    """The address of Prometheus once it has looked at everybody again after `make demo`."""
    words = [sys.executable, "-m", "scripts.demo", "--stack", str(stack.public)]
    subprocess.run(words, cwd=CHECKOUT, check=True, capture_output=True, timeout=DEMO_SECONDS_MAX)
    done = datetime.now(UTC).timestamp()
    answers.wait_until(
        lambda: _looks_since(prometheus, done) >= LOOKS,
        seconds=PATIENCE_SECONDS,
        what="Three looks at every process",
    )
    return prometheus


class TestStarting:
    def test_reaches_every_process(self, prometheus: str) -> None:
        targets = monitoring.targets(prometheus)
        assert set(targets) == {"api-1", "api-2", *WORKERS, "postgres", "prometheus"}
        assert set(targets.values()) == {"up"}

    def test_a_second_time_changes_nothing(self, stack: Stack, prometheus: str) -> None:
        before = [stack.pid(name) for name in MONITORING_NAMES]
        assert monitoring.start(stack.layout, public=stack.public, say=silence) == prometheus
        assert [stack.pid(name) for name in MONITORING_NAMES] == before
        assert (stack.public / "prometheus").read_text() == f"{prometheus}\n"

    def test_tells_where_to_look(self, prometheus: str) -> None:
        found = [
            word
            for word in monitoring.words_for_user(prometheus).split()
            if word.startswith("http")
        ]
        assert len(found) > len(monitoring.GRAPHS)
        for address in found:
            assert httpx.get(address, follow_redirects=True).status_code == httpx.codes.OK
        assert (CHECKOUT / "docs" / "monitoring.md").exists()

    async def test_whoever_watches_postgresql_sees_no_row(
        self, ecs: Outside, prometheus: str
    ) -> None:
        assert prometheus
        rights = await ecs.value(
            "SELECT count(*) FROM information_schema.tables AS t WHERE t.table_schema = 'public'"
            " AND has_table_privilege('ecs_monitor', format('%I.%I', t.table_schema,"
            " t.table_name), 'SELECT, INSERT, UPDATE, DELETE')"
        )
        assert rights == 0


class TestAfterTheDemo:
    def test_every_query_of_dashboards_rules_and_alerts_has_an_answer(
        self, after_the_demo: str
    ) -> None:
        assert len(list(queries())) > len(alerts())
        assert _unanswered(after_the_demo) == []

    def test_nobody_is_called(self, after_the_demo: str) -> None:
        found = monitoring.ask(after_the_demo, "alerts")["alerts"]
        # Tickets may be left of what other tests of this run have broken on purpose.
        firing = {one["labels"]["alertname"] for one in found if one["state"] == "firing"}
        pages = {name for name, alert in alerts().items() if alert["labels"]["severity"] == "page"}
        assert firing & pages == set()

    def test_prometheus_knows_every_alert(self, after_the_demo: str) -> None:
        groups = monitoring.ask(after_the_demo, "rules", type="alert")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == set(alerts())
        assert {rule["health"] for rule in rules} == {"ok"}


def _looks_since(url: str, moment: float) -> float:
    """How often every process was looked at since a moment, at the least."""
    since = max(1, math.ceil(datetime.now(UTC).timestamp() - moment))
    counted = monitoring.ask(url, "query", query=f"min(count_over_time(up[{since}s]))")["result"]
    return float(counted[0]["value"][1]) if counted else 0


def _unanswered(url: str) -> list[str]:
    """The queries whose answer is none, or not a number."""
    return [
        f"{query.where}: {query.expression}"
        for query in queries()
        if not _has_answer(url, substituted(query.expression))
    ]


def _has_answer(url: str, expression: str) -> bool:
    try:
        found = monitoring.ask(url, "query", query=expression)["result"]
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(f"{expression}: {json.load(error)['error']}") from None
    return bool(found) and not any(math.isnan(float(one["value"][1])) for one in found)
