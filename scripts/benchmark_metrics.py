"""
Measure what metrics cost `POST /api/v1/credit/apply`: the ratio with them to without.

    python -m scripts.benchmark_metrics
    python -m scripts.benchmark_metrics --starts 5 --rounds 10

Two API processes on one throw-away PostgreSQL and Redis, one with METRICS_ENABLED, one without.
They take turns of a few applications each, so that whatever else the machine does slows down both.
When everybody has applied once, all is forgotten: such a round is a ratio. After every 5 seconds of
its turns the one with metrics is read, as by Prometheus. Both are started anew several times,
because two processes with the same code are not equally fast either. Rates tremble; the processor
time of the API's process trembles less, and decides about the promise.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ecs.bootstrap import Application, owner_application
from ecs.config import read_settings
from ecs.domain.people import CLIENT_SCOPES, USER_SCOPES
from ecs.domain.principal import PrincipalKind
from ecs.log import configure_logging
from scripts.demo_people import PERSONAS, month_before
from scripts.stack import SERVICES_ONLY, Stack, answers, preparation
from scripts.stack.place import CHECKOUT

PROMISED: Final = 0.97
PEOPLE: Final = 400
PEOPLE_A_TURN: Final = 20
AT_ONCE: Final = 4
# Who is first is not always the same: 0 is with metrics, 1 without.
ORDER: Final = (0, 1, 1, 0)
STARTS: Final = 3
ROUNDS: Final = 12
SCRAPE_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 60.0
TOKEN_SECONDS: Final = 7_200
APPLY: Final = "/api/v1/credit/apply"
CREATED: Final = 201
_ADD_PERSON: Final = """
INSERT INTO users (id, email, full_name, password_hash) VALUES ($1, $2, 'Ana Lima', 'no password')
"""
_FORGET_DECISIONS: Final = "TRUNCATE credit_offers CASCADE"


@dataclass(slots=True, kw_only=True)
class Turns:
    """What one process did in its turns of a round."""

    requests: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Return how many applications a second were decided."""
        return self.requests / self.wall_seconds

    @property
    def cpu_ms(self) -> float:
        """Return the milliseconds of processor time that an application took the API."""
        return self.cpu_seconds / self.requests * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The turns with metrics and those without, between each other in time."""

    watched: Turns
    unwatched: Turns

    @property
    def of_rates(self) -> float:
        """Return the ratio of requests a second: 1 is no cost."""
        return self.watched.rate / self.unwatched.rate

    @property
    def of_cpu(self) -> float:
        """Return the ratio of processor time, the other way round: 1 is no cost, too."""
        return self.unwatched.cpu_ms / self.watched.cpu_ms


@dataclass(slots=True, kw_only=True)
class Instance:
    """An API process and a client of it; ``since_read`` are the seconds of its turns since then."""

    pid: int
    http: httpx.AsyncClient
    is_watched: bool
    since_read: float = 0.0
    readings: int = 0

    async def read_if_due(self) -> None:
        """Read ``/metrics`` like Prometheus, which does so every few seconds."""
        if self.is_watched and self.since_read >= SCRAPE_SECONDS:
            self.since_read = 0.0
            self.readings += 1
            (await self.http.get("/metrics")).raise_for_status()

    async def turn(self, people: Sequence[dict[str, str]], turns: Turns) -> None:
        """Let some people apply, and add what it took to ``turns``."""
        lanes = [people[lane::AT_ONCE] for lane in range(AT_ONCE)]
        cpu, started = cpu_seconds(self.pid), time.perf_counter()
        await asyncio.gather(self.read_if_due(), *(_apply_all(self.http, lane) for lane in lanes))
        seconds = time.perf_counter() - started
        turns.requests += len(people)
        turns.wall_seconds += seconds
        turns.cpu_seconds += cpu_seconds(self.pid) - cpu
        self.since_read += seconds


@dataclass(slots=True, kw_only=True)
class Bench:
    """People who can apply, a way to have it forgotten, and what was measured so far."""

    database: Any
    headers: Sequence[dict[str, str]]
    rounds: list[Round] = field(default_factory=list)
    readings: int = 0

    async def round(self, watched: Instance, unwatched: Instance) -> Round:
        """Let everybody apply once, at one or the other, and forget it."""
        instances, turns = (watched, unwatched), (Turns(), Turns())
        for number, first in enumerate(range(0, len(self.headers), PEOPLE_A_TURN)):
            whose = ORDER[number % len(ORDER)]
            people = self.headers[first : first + PEOPLE_A_TURN]
            await instances[whose].turn(people, turns[whose])
        await self.database.execute(_FORGET_DECISIONS)
        return Round(watched=turns[0], unwatched=turns[1])


async def _apply_all(http: httpx.AsyncClient, people: Sequence[dict[str, str]]) -> None:
    for headers in people:
        answer = await http.post(APPLY, headers=headers)
        assert answer.status_code == CREATED, answer.text


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far: of its threads, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


async def add_people(database: Any, progress: Progress) -> list[dict[str, str]]:
    """Add people with a month of money each; return what lets each of them in."""
    async with owner_application(read_settings()) as ecs:
        client = await ecs.auth.create_client(name="benchmark", scopes=CLIENT_SCOPES)
        headers = []
        for _ in progress.track(range(PEOPLE), description="adding people"):
            user_id = uuid4()
            await database.execute(_ADD_PERSON, user_id, f"{user_id}@example.com")
            await _add_month(ecs, user_id, client_id=client.client_id)
            headers.append({"Authorization": f"Bearer {_token(ecs, user_id)}"})
    await database.execute("ANALYZE")
    return headers


async def _add_month(ecs: Application, user_id: UUID, *, client_id: UUID) -> None:
    persona = next(one for one in PERSONAS if one.name == "steady")
    currency = read_settings().credit.currency
    month = month_before(persona, user_id=user_id, now=datetime.now(UTC), currency=currency)
    await ecs.transactions.ingest(month, client_id=client_id)


def _token(ecs: Application, user_id: UUID) -> str:
    return ecs.auth.tokens.sign(
        subject=user_id,
        kind=PrincipalKind.USER,
        scopes=USER_SCOPES,
        token_version=0,
        issued_at=datetime.now(UTC),
        expires_seconds=TOKEN_SECONDS,
        token_id=uuid4(),
    )


@contextmanager
def serving(stack: Stack, name: str, *, metrics: bool) -> Iterator[tuple[int, str]]:
    """Serve the API in a process of its own; give its pid and its address."""
    port = stack.layout.ports[name]
    process = subprocess.Popen(  # noqa: S603  (our own words)
        [sys.executable, "-m", "ecs.api", "--port", str(port)],
        cwd=CHECKOUT,
        env=_environment(stack, metrics=metrics),
        stdout=subprocess.DEVNULL,
    )
    try:
        answers.wait_until(
            lambda: answers.listens(port), seconds=PATIENCE_SECONDS, what=f"An answer of {name}"
        )
        yield process.pid, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _environment(stack: Stack, *, metrics: bool) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "TZ": "UTC",
        # Whatever happens here, the stack ends what carries its name.
        "STACK_ID": stack.place.stack_id,
        # Else two processes differ in the order of their sets, and in speed.
        "PYTHONHASHSEED": "0",
        **stack.env,
        "METRICS_ENABLED": "true" if metrics else "false",
    }


async def measure(stack: Stack, *, starts: int, rounds: int, progress: Progress) -> Bench:
    """Return what was measured over all starts of both processes."""
    database = await asyncpg.connect(stack.env["DB_OWNER_URL"])
    bench = Bench(database=database, headers=await add_people(database, progress))
    task = progress.add_task("applying", total=starts * (rounds + 1))
    for start in range(starts):
        # Each port has its turn with metrics.
        names = ("api-1", "api-2") if start % 2 == 0 else ("api-2", "api-1")
        with (
            serving(stack, names[0], metrics=True) as watched,
            serving(stack, names[1], metrics=False) as unwatched,
        ):
            await _measure_once(
                bench, watched, unwatched, rounds=rounds, show=lambda: progress.advance(task)
            )
    await database.close()
    return bench


async def _measure_once(
    bench: Bench,
    watched: tuple[int, str],
    unwatched: tuple[int, str],
    *,
    rounds: int,
    show: Callable[[], None],
) -> None:
    async with (
        httpx.AsyncClient(base_url=watched[1], timeout=PATIENCE_SECONDS) as first,
        httpx.AsyncClient(base_url=unwatched[1], timeout=PATIENCE_SECONDS) as second,
    ):
        one = Instance(pid=watched[0], http=first, is_watched=True)
        other = Instance(pid=unwatched[0], http=second, is_watched=False)
        await bench.round(one, other)  # To warm up; and neither is what it claims not to be.
        assert (await first.get("/metrics")).is_success
        assert not (await second.get("/metrics")).is_success
        show()
        for _ in range(rounds):
            bench.rounds.append(await bench.round(one, other))
            show()
        bench.readings += one.readings


def report(bench: Bench) -> Table:
    """Return the table of both ways and of the ratios, with their quartiles."""
    rounds = bench.rounds
    title = f"POST {APPLY}: {len(rounds)} rounds, {PEOPLE // 2} applications each way"
    table = Table("what", "with metrics", "without", "ratio", "quartiles", title=title)
    for what, watched, unwatched, ratios in (
        (
            "requests a second",
            [one.watched.rate for one in rounds],
            [one.unwatched.rate for one in rounds],
            [one.of_rates for one in rounds],
        ),
        (
            "processor, ms a request",
            [one.watched.cpu_ms for one in rounds],
            [one.unwatched.cpu_ms for one in rounds],
            [one.of_cpu for one in rounds],
        ),
    ):
        low, middle, high = quantiles(ratios, n=4)
        between = f"{low:.3f} to {high:.3f}"
        table.add_row(
            *(what, f"{median(watched):.3f}", f"{median(unwatched):.3f}"),
            *(f"{middle:.3f}", between),
        )
    table.add_row("readings of /metrics", str(bench.readings), "0", "", "")
    return table


def keeps_promise(bench: Bench) -> bool:
    """Return whether metrics cost no more of the processor than was promised."""
    return median(one.of_cpu for one in bench.rounds) >= PROMISED


def main() -> None:
    """Start what is needed, measure, print the table, leave nothing behind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=STARTS, choices=range(1, 11), metavar="1..10")
    parser.add_argument("--rounds", type=int, default=ROUNDS, choices=range(2, 51), metavar="2..50")
    arguments = parser.parse_args()
    console = Console()
    configure_logging(level="error", service="benchmark")
    with Stack(throwaway=True, parts=SERVICES_ONLY, say=console.print) as stack:
        preparation.migrate(stack.env)
        os.environ.update(stack.env)
        with Progress(console=console, transient=True) as progress:
            bench = asyncio.run(
                measure(stack, starts=arguments.starts, rounds=arguments.rounds, progress=progress)
            )
    console.print(report(bench))
    console.print(f"Promised: at least {PROMISED} of what it is without, in processor time.")
    raise SystemExit(0 if keeps_promise(bench) else 1)


if __name__ == "__main__":
    main()
