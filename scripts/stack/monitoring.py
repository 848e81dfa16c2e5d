"""Prometheus beside a running stack: what it asks, when it is there, and where to look."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from scripts.stack import answers, preparation, system
from scripts.stack.console import Say
from scripts.stack.errors import StackError
from scripts.stack.place import CHECKOUT, write_private
from scripts.stack.ports import WORKERS
from scripts.stack.programs import API_NAMES, MONITORING_NAMES, Layout, all_programs
from scripts.stack.supervision import Supervisor

EVERY: Final = "5s"
ASK_SECONDS: Final = 10.0
START_SECONDS: Final = 60
# Debian leaves the newer ones out; every Prometheus 2 has these.
PAGES: Final = "/classic"
RULES: Final = CHECKOUT / "deploy" / "prometheus" / "rules"
# What a first look is worth: a title, and the expression that Prometheus draws.
GRAPHS: Final = (
    ("requests a second, by route", "ecs:http_requests:rate1m"),
    ("95th percentile of answers", "ecs:http_request_seconds:p95"),
    ("decisions, by status", "sum by (status) (ecs_credit_decisions_total)"),
    ("what waits in the outbox", "ecs:outbox_waiting:max"),
)


def start(layout: Layout, *, public: Path, say: Say) -> str:
    """
    Start Prometheus on a running stack and return its address when it reaches every process.

    Raises:
        StackError: something is missing, did not start, or is not reached.
    """
    system.ensure_monitoring(say)
    _write(layout)
    preparation.create_monitor(layout)
    supervisor, programs = Supervisor(place=layout.place), all_programs(layout)
    say("starting Prometheus and what shows it PostgreSQL")
    for name in MONITORING_NAMES:
        supervisor.start(programs[name])
    url = address(layout)
    answers.wait_until(lambda: is_ready(url), seconds=START_SECONDS, what=f"An answer of {url}")
    say("waiting until it has reached every process")
    _wait_for_targets(url)
    write_private(public / "prometheus", url + "\n")
    return url


def stop(layout: Layout) -> None:
    """Stop what ``start`` has started; the rest goes on."""
    supervisor, programs = Supervisor(place=layout.place), all_programs(layout)
    for name in reversed(MONITORING_NAMES):
        supervisor.stop(programs[name])


def address(layout: Layout) -> str:
    """Return the address of Prometheus."""
    return f"http://127.0.0.1:{layout.ports['prometheus']}"


def ask(url: str, path: str, **words: str) -> Any:
    """Return the data of an answer of Prometheus' API, such as ``query``."""
    question = f"{url}/api/v1/{path}?{urlencode(words)}"
    with answers.DIRECT.open(question, timeout=ASK_SECONDS) as answer:
        return json.load(answer)["data"]


def targets(url: str) -> dict[str, str]:
    """Return what Prometheus says of each process it asks: up, down, or unknown at first."""
    found = ask(url, "targets", state="active")["activeTargets"]
    return {one["labels"]["instance"]: one["health"] for one in found}


def is_ready(url: str) -> bool:
    """Return whether Prometheus answers questions."""
    try:
        with answers.DIRECT.open(f"{url}/-/ready", timeout=answers.TIMEOUT_SECONDS) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def words_for_user(url: str) -> str:
    """Return where to look."""
    graphs = [(title, f"{url}{PAGES}/graph?{urlencode(_graph(words))}") for title, words in GRAPHS]
    lines = [
        ("what fires, what would", f"{url}{PAGES}/alerts"),
        ("what is asked, and whether it answers", f"{url}{PAGES}/targets"),
        *graphs,
        ("every metric, alert and dashboard", "docs/monitoring.md"),
    ]
    return "\n".join(
        [
            f"\nPrometheus is ready:  {url}",
            *(f"  {title:<40}{where}" for title, where in lines),
            "\nIt stops with the stack (make down); make monitoring starts it again.",
            "To see something happen: make demo",
        ]
    )


def configuration(layout: Layout) -> dict[str, Any]:
    """Return what Prometheus is told: whom to ask, how often, and by which rules to judge."""
    ports = layout.ports
    jobs = {
        "ecs-api": {name: ports[name] for name in API_NAMES},
        "ecs-worker": {name: ports[name] for name in WORKERS},
        "postgres": {"postgres": ports["postgres-exporter"]},
        "prometheus": {"prometheus": ports["prometheus"]},
    }
    return {
        "global": {"scrape_interval": EVERY, "scrape_timeout": "4s", "evaluation_interval": EVERY},
        "rule_files": [f"{RULES}/*.yml"],
        "scrape_configs": [_job(name, instances) for name, instances in jobs.items()],
    }


def _job(name: str, instances: dict[str, int]) -> dict[str, Any]:
    return {
        "job_name": name,
        "static_configs": [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": instance}}
            for instance, port in instances.items()
        ],
    }


def _write(layout: Layout) -> None:
    folder = layout.place.folder("prometheus")
    # What is JSON is YAML, too.
    write_private(folder / "prometheus.yml", json.dumps(configuration(layout), indent=2))


def _wait_for_targets(url: str) -> None:
    try:
        answers.wait_until(
            lambda: set(targets(url).values()) == {"up"}, seconds=START_SECONDS, what="It"
        )
    except StackError:
        missing = [name for name, health in targets(url).items() if health != "up"]
        raise StackError(
            f"Prometheus runs ({url}{PAGES}/targets), but does not reach {', '.join(missing)}."
        ) from None


def _graph(expression: str) -> dict[str, str]:
    return {"g0.expr": expression, "g0.tab": "0", "g0.range_input": "15m"}
