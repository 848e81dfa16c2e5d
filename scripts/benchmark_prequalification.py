"""
Measure whether 100 applications a second are taken in and decided, beside reads of their status.

    python -m scripts.benchmark_prequalification
    python -m scripts.benchmark_prequalification --rate 150 --seconds 60

A throw-away stack of its own: Nginx, two APIs, the relay, the two workers, RabbitMQ. Applications
come at a fixed rate whatever the answers do (an open loop), each with a PAN of its own; beside them
status reads. Times are the callers': from the moment a request was due. A decision's time ends when
it can be seen in the database. What counts are the ratios to what is promised.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import asyncpg
import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from scripts.stack import Stack

RATE: Final = 100.0
PROMISED_DECIDED_SECONDS: Final = 5.0
PROMISED_STATUS_SECONDS: Final = 0.5
READS_A_SECOND: Final = 20.0
SECONDS: Final = 30
WATCH_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 30.0
APPLICATIONS: Final = "/api/v1/prequalification/applications"
ACCEPTED: Final = 202
_NEWLY_DECIDED: Final = """
SELECT c.application_id FROM prequalification_status_changes c
WHERE c.version = 2 AND c.application_id = ANY($1::uuid[])
"""


@dataclass(slots=True, kw_only=True)
class Measured:
    """What was seen. Times are seconds since a request was due; ``errors`` counts odd answers."""

    submitted: list[float] = field(default_factory=list)
    read: list[float] = field(default_factory=list)
    decided: list[float] = field(default_factory=list)
    due_at: dict[str, float] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def undecided(self) -> list[str]:
        """Return the applications whose decision nobody has seen yet."""
        return list(self.due_at)

    def fail(self, what: str) -> None:
        """Count an answer that was not the expected one."""
        self.errors[what] = self.errors.get(what, 0) + 1


def pans() -> Iterator[str]:
    """Return PANs of persons, each another one."""
    for number in count():
        letters, digits = divmod(number, 10_000)
        first, last = divmod(letters, 26)
        yield f"BEN{'P'}{chr(65 + first % 26)}{digits:04d}{chr(65 + last)}"


def application(pan: str) -> dict[str, str]:
    """Return an application that is decided by the score alone."""
    return {
        "pan_number": pan,
        "applicant_name": "Asha Rao",
        "monthly_income_inr": "80000.00",
        "loan_amount_inr": "500000.00",
        "loan_type": "HOME",
    }


class Bench:
    """A running stack, people who are logged in, and what was measured so far."""

    def __init__(self, http: httpx.AsyncClient, database: Any, headers: Sequence[Any]) -> None:
        self._http = http
        self._database = database
        self._headers = headers
        self._pans = pans()
        self._known: list[tuple[str, int]] = []
        self.measured = Measured()
        self.nothing_open = asyncio.Event()

    async def submit(self, number: int, due: float) -> None:
        """Apply once, as one of the people."""
        person = number % len(self._headers)
        answer = await self._http.post(
            APPLICATIONS, json=application(next(self._pans)), headers=self._headers[person]
        )
        if answer.status_code != ACCEPTED:
            self.measured.fail(f"submission answered {answer.status_code}")
            return
        self.measured.submitted.append(time.perf_counter() - due)
        application_id = answer.json()["application_id"]
        self.measured.due_at[application_id] = due
        self.nothing_open.clear()
        self._known.append((application_id, person))

    async def read(self, number: int, due: float) -> None:
        """Read the status of an application that was made before."""
        if not self._known:
            return
        application_id, person = self._known[number * 7919 % len(self._known)]
        answer = await self._http.get(
            f"{APPLICATIONS}/{application_id}/status", headers=self._headers[person]
        )
        if answer.is_success:
            self.measured.read.append(time.perf_counter() - due)
        else:
            self.measured.fail(f"status answered {answer.status_code}")

    async def watch(self) -> None:
        """Note when each decision can be seen, for ever."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            found = await self._database.fetch(_NEWLY_DECIDED, self.measured.undecided)
            now = time.perf_counter()
            for row in found:
                due = self.measured.due_at.pop(str(row["application_id"]))
                self.measured.decided.append(now - due)
            if not self.measured.undecided:
                self.nothing_open.set()


async def at_rate(
    rate: float, seconds: float, work: Callable[[int, float], Awaitable[None]]
) -> None:
    """Start ``work`` at a fixed rate, however long each takes; return when all have ended."""
    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(_done(work(number, due)))


async def _done(work: Awaitable[None]) -> None:
    await work


async def measure(stack: Stack, *, rate: float, seconds: int, progress: Progress) -> Measured:
    """Warm up for a moment, then measure."""
    database = await asyncpg.connect(stack.env["DB_OWNER_URL"])
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=stack.url, timeout=30, limits=limits) as http:
        bench = Bench(http, database, await _logins(stack, http))
        watching = asyncio.create_task(bench.watch())
        await at_rate(rate / 4, 4, bench.submit)
        await _all_decided(bench)
        bench.measured = Measured()
        bar = asyncio.create_task(_show(progress, seconds))
        started = time.perf_counter()
        await asyncio.gather(
            at_rate(rate, seconds, bench.submit), at_rate(READS_A_SECOND, seconds, bench.read)
        )
        bench.measured.seconds = time.perf_counter() - started
        await _all_decided(bench)
        for task in (watching, bar):
            task.cancel()
    await database.close()
    return bench.measured


async def _all_decided(bench: Bench) -> None:
    try:
        await asyncio.wait_for(bench.nothing_open.wait(), PATIENCE_SECONDS)
    except TimeoutError:
        return  # What is left open is said in the end.


async def _show(progress: Progress, seconds: int) -> None:
    task = progress.add_task("applying", total=seconds)
    for _ in range(seconds):
        await asyncio.sleep(1)
        progress.advance(task)


async def _logins(stack: Stack, http: httpx.AsyncClient) -> list[dict[str, str]]:
    demo = json.loads((stack.public / "demo.json").read_text())
    headers = []
    for user in demo["users"]:
        answer = await http.post(
            "/token",
            data={
                "grant_type": "password",
                "username": user["email"],
                "password": user["password"],
            },
        )
        headers.append({"Authorization": f"Bearer {answer.json()['access_token']}"})
    return headers


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that so many of the values do not exceed; 0 when there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def report(measured: Measured, *, rate: float) -> Table:
    """Return the table of what was promised and what was seen."""
    table = Table("what", "promised", "measured", "ratio", title=f"{rate:g} applications a second")
    reached = len(measured.submitted) / measured.seconds
    slowest = max(measured.decided, default=float("inf"))
    status = quantile(measured.read, 0.95)
    _line(table, "taken in, a second", rate, reached, reached / rate)
    within = sum(one <= PROMISED_DECIDED_SECONDS for one in measured.decided)
    asked = len(measured.submitted) + sum(measured.errors.values())
    table.add_row("decided within 5 s", "all", f"{within} of {asked}", f"{within / asked:.3f}")
    _line(table, "slowest decision, s", PROMISED_DECIDED_SECONDS, slowest, slowest / 5)
    for share in (0.5, 0.95):
        found = quantile(measured.decided, share)
        table.add_row(f"decision, p{share * 100:.0f}, s", "", f"{found:.3f}", "")
    _line(table, "status, p95, s", PROMISED_STATUS_SECONDS, status, status / 0.5)
    submitted = quantile(measured.submitted, 0.95)
    table.add_row("submission, p95, s", "", f"{submitted:.3f}", "")
    for what, times in measured.errors.items():
        table.add_row(what, "0", str(times), "")
    return table


def _line(table: Table, what: str, promised: float, found: float, ratio: float) -> None:
    table.add_row(what, f"{promised:g}", f"{found:.3f}", f"{ratio:.3f}")


def keeps_promises(measured: Measured) -> bool:
    """Return whether everything that was asked for was decided in time."""
    return not (
        measured.errors
        or measured.undecided
        or max(measured.decided, default=0.0) > PROMISED_DECIDED_SECONDS
    )


def main() -> None:
    """Start a stack, measure, print the table, leave nothing behind; fail on a broken promise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument(
        "--seconds", type=int, default=SECONDS, choices=range(5, 601), metavar="5..600"
    )
    arguments = parser.parse_args()
    console = Console()
    with Stack(throwaway=True, say=console.print) as stack:
        os.environ.update(stack.env)
        with Progress(console=console, transient=True) as progress:
            measured = asyncio.run(
                measure(stack, rate=arguments.rate, seconds=arguments.seconds, progress=progress)
            )
    console.print(report(measured, rate=arguments.rate))
    raise SystemExit(0 if keeps_promises(measured) else 1)


if __name__ == "__main__":
    main()
