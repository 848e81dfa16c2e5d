"""
A real Prometheus on the running stack: it reaches everybody, and every query has an answer.

Whichever came first, Prometheus or what there is to see.
"""

import json
import math
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from scripts.stack import answers, monitoring
from scripts.stack.console import silence
from scripts.stack.place import CHECKOUT
from scripts.stack.ports import WORKERS
from scripts.stack.programs import MONITORING_NAMES, Layout, all_programs
from scripts.stack.stack import Stack
from tests.e2e.support import Outside
from tests.monitoring import OTHERWISE, alerts, queries, substituted

DEMO_SECONDS_MAX: Final = 120
# Nothing is older than a minute then.
LOOKS: Final = 2
# Without a memory a rate needs two looks; after the third, and surely after the fourth, the rules
# have seen the second.
FIRST_LOOKS: Final = 4
PATIENCE_SECONDS: Final = 60
APPLY: Final = 'route="/api/v1/credit/apply"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """A Prometheus, and the moment at which somebody looks at its dashboards."""

    url: str
    moment: float

    def answer(self, expression: str) -> list[dict[str, Any]]:
        """What it answers to that person, in whatever order the tests run."""
        asked = {"query": substituted(expression), "time": str(self.moment)}
        try:
            found: list[dict[str, Any]] = monitoring.ask(self.url, "query", **asked)["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{expression}: {json.load(error)['error']}") from None
        return found

    def has_answer(self, expression: str) -> bool:
        """Whether there is one, and nothing in it that is not a number."""
        found = self.answer(expression)
        return bool(found) and not any(math.isnan(float(one["value"][1])) for one in found)

    def unanswered(self) -> list[str]:
        """The queries without."""
        return [
            f"{query.where}: {query.expression}"
            for query in queries()
            if not self.has_answer(query.expression)
        ]


@pytest.fixture(scope="module")
def prometheus(stack: Stack) -> Iterator[str]:
    """The address of Prometheus; it is gone again afterwards."""
    try:
        yield monitoring.start(stack.layout, public=stack.public, say=silence)
    finally:
        monitoring.stop(stack.layout)
        (stack.public / "prometheus").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def after_the_demo(stack: Stack, prometheus: str) -> Prometheus:
    """Prometheus once it has looked at everybody again after `make demo`."""
    words = [sys.executable, "-m", "scripts.demo", "--stack", str(stack.public)]
    subprocess.run(words, cwd=CHECKOUT, check=True, capture_output=True, timeout=DEMO_SECONDS_MAX)
    return _after(LOOKS, prometheus)


@pytest.fixture(scope="module")
def begun_after_the_demo(
    stack: Stack, after_the_demo: Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A second Prometheus, which has seen nothing of the demo happen."""
    assert after_the_demo.url
    with _another_prometheus(stack.layout, data=tmp_path_factory.mktemp("prometheus")) as url:
        yield _after(FIRST_LOOKS, url)


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
        self, after_the_demo: Prometheus
    ) -> None:
        assert len(list(queries())) > len(alerts())
        assert after_the_demo.unanswered() == []

    def test_what_the_demo_did_is_seen_as_it_happened(self, after_the_demo: Prometheus) -> None:
        window = [query for query in queries() if OTHERWISE in query.expression]
        assert window
        for query in window:
            assert after_the_demo.has_answer(query.expression.partition(OTHERWISE)[0]), query.where
        assert after_the_demo.has_answer(f"ecs:http_requests:rate1m{{{APPLY}}} > 0")

    def test_nobody_is_called(self, after_the_demo: Prometheus) -> None:
        found = monitoring.ask(after_the_demo.url, "alerts")["alerts"]
        # Tickets may be left of what other tests of this run have broken on purpose.
        firing = {one["labels"]["alertname"] for one in found if one["state"] == "firing"}
        pages = {name for name, alert in alerts().items() if alert["labels"]["severity"] == "page"}
        assert firing & pages == set()

    def test_prometheus_knows_every_alert(self, after_the_demo: Prometheus) -> None:
        groups = monitoring.ask(after_the_demo.url, "rules", type="alert")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == set(alerts())
        assert {rule["health"] for rule in rules} == {"ok"}


class TestBegunAfterTheDemo:
    def test_every_query_has_an_answer_too(self, begun_after_the_demo: Prometheus) -> None:
        assert begun_after_the_demo.unanswered() == []

    def test_quantiles_are_of_what_the_demo_did(self, begun_after_the_demo: Prometheus) -> None:
        assert not begun_after_the_demo.has_answer(f"ecs:http_requests:rate1m{{{APPLY}}} > 0")
        by_route = [query for query in queries() if query.where == "api: 95th percentile by route"]
        (found,) = (begun_after_the_demo.answer(query.expression) for query in by_route)
        assert "/api/v1/credit/apply" in {one["metric"]["route"] for one in found}

    def test_no_alert_is_about_the_time_before(self, begun_after_the_demo: Prometheus) -> None:
        seconds = "ecs:http_request_seconds:p95"
        assert [one["value"][1] for one in begun_after_the_demo.answer(seconds)] == ["0"]


@contextmanager
def _another_prometheus(layout: Layout, *, data: Path) -> Iterator[str]:
    """Start the program of the stack again, with its configuration and no memory."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program, *words = all_programs(layout)["prometheus"].command
    own = (f"--storage.tsdb.path={data}", f"--web.listen-address={address}")
    kept = [word for word in words if not word.startswith(("--storage.tsdb.path", "--web."))]
    with subprocess.Popen([program, *kept, *own], stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://{address}"
            answers.wait_until(
                lambda: monitoring.is_ready(url), seconds=PATIENCE_SECONDS, what="A Prometheus"
            )
            yield url
        finally:
            process.terminate()


def _after(looks: int, url: str) -> Prometheus:
    """Wait until a Prometheus has looked at everybody so often again."""
    begun = datetime.now(UTC).timestamp()
    answers.wait_until(
        lambda: _looks_since(url, begun) >= looks,
        seconds=PATIENCE_SECONDS,
        what=f"{looks} looks at every process",
    )
    return Prometheus(url=url, moment=datetime.now(UTC).timestamp())


def _looks_since(url: str, moment: float) -> float:
    """How often every process was looked at since a moment, at the least."""
    since = max(1, math.ceil(datetime.now(UTC).timestamp() - moment))
    counted = monitoring.ask(url, "query", query=f"min(count_over_time(up[{since}s]))")["result"]
    return float(counted[0]["value"][1]) if counted else 0
