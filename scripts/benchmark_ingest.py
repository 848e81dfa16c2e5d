"""
Measure how fast emotional events are taken in, beside PostgreSQL's own COPY into the same table.

    python -m scripts.benchmark_ingest

Everything runs on a throw-away stack of its own, one way after the other, in one run: what counts
is the ratio to COPY, not the figure of one machine. COPY checks nothing but the table's own rules.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ecs.config import read_settings
from ecs.domain.streams import EMOTIONS, OutgoingMessage
from ecs.log import configure_logging
from ecs.streaming import stream_publisher
from scripts.stack import Stack

ROUNDS: Final = 3
AT_ONCE: Final = 4  # Requests in flight: two API processes, twice.
EVENTS: Final = {"copy": 20_000, "http-1": 1_000, "http-100": 20_000, "http-1000": 20_000}
STREAMED: Final = {"stream-1": 10_000, "stream-100": 20_000}
POLL_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 120.0
COLUMNS: Final = (
    *("client_id", "event_id", "user_id", "captured_at", "emotion_primary"),
    *("emotion_confidence", "arousal", "valence", "source"),
)

Event = dict[str, Any]
Way = Callable[["Bench", int], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A running stack with a client that may send events, and the people who let it."""

    stack: Stack
    database: Any
    http: httpx.AsyncClient
    client_id: UUID
    user_ids: Sequence[UUID]

    def events(self, count: int) -> list[Event]:
        """Return new events, spread over the people and the last hours."""
        now = datetime.now(UTC)
        return [
            {
                "event_id": str(uuid4()),
                "user_id": str(self.user_ids[number % len(self.user_ids)]),
                "captured_at": (now - timedelta(milliseconds=number)).isoformat(),
                "emotion_primary": "happiness",
                "emotion_confidence": 0.8,
                "arousal": 0.1,
                "valence": 0.5,
                "source": "wearable",
            }
            for number in range(count)
        ]

    async def stored(self) -> int:
        """Return how many events the table holds."""
        return int(await self.database.fetchval("SELECT count(*) FROM emotional_events"))


async def copy(bench: Bench, count: int) -> float:
    """Return the rate of COPY, in one transaction."""
    records = [_record(bench.client_id, event) for event in bench.events(count)]
    started = time.perf_counter()
    await bench.database.copy_records_to_table("emotional_events", records=records, columns=COLUMNS)
    return count / (time.perf_counter() - started)


def over_http(per_request: int) -> Way:
    """Return the way through Nginx and both API processes, so many events a request."""

    async def measure(bench: Bench, count: int) -> float:
        events = bench.events(count)
        bodies = [
            json.dumps({"events": events[start : start + per_request]}).encode()
            for start in range(0, count, per_request)
        ]
        started = time.perf_counter()
        await asyncio.gather(*(_post_all(bench, bodies[lane::AT_ONCE]) for lane in range(AT_ONCE)))
        return count / (time.perf_counter() - started)

    return measure


def over_stream(per_message: int) -> Way:
    """Return the way through RabbitMQ: how fast the consumer takes a backlog in."""

    async def measure(bench: Bench, count: int) -> float:
        events = bench.events(count)
        parts = [events[start : start + per_message] for start in range(0, count, per_message)]
        await asyncio.to_thread(bench.stack.stop_program, "emotions-consumer")
        async with stream_publisher(read_settings(), name="benchmark") as publisher:
            refused = await publisher.publish(
                [_message(bench.client_id, part) for part in parts], to=EMOTIONS
            )
            assert not refused, refused
        await asyncio.to_thread(bench.stack.start_program, "emotions-consumer")
        return await _growth(bench, count=count)

    return measure


WAYS: Final[dict[str, Way]] = {
    "copy": copy,
    "http-1": over_http(1),
    "http-100": over_http(100),
    "http-1000": over_http(1000),
    "stream-1": over_stream(1),
    "stream-100": over_stream(100),
}


async def run(stack: Stack, console: Console) -> dict[str, float]:
    """Return the median rate of each way, in events a second."""
    demo = json.loads((stack.public / "demo.json").read_text())
    [client] = demo["clients"]
    database = await asyncpg.connect(stack.env["DB_OWNER_URL"])
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as http:
        http.headers["Authorization"] = await _bearer(http, client)
        bench = Bench(
            stack=stack,
            database=database,
            http=http,
            client_id=UUID(client["client_id"]),
            user_ids=[UUID(user["id"]) for user in demo["users"]],
        )
        rates: dict[str, list[float]] = {name: [] for name in WAYS}
        with Progress(console=console, transient=True) as progress:
            for name in progress.track(list(WAYS) * ROUNDS, description="measuring"):
                count = (EVENTS | STREAMED)[name]
                await database.execute("TRUNCATE emotional_events")
                rates[name].append(await WAYS[name](bench, count))
    await database.close()
    return {name: median(found) for name, found in rates.items()}


def report(rates: dict[str, float]) -> Table:
    """Return the table of rates and of their ratios to COPY."""
    table = Table("way", "events a second", "ratio to COPY", title="Taking in emotional events")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / rates['copy']:.3f}")
    return table


def _record(client_id: UUID, event: Event) -> tuple[Any, ...]:
    return (
        *(client_id, UUID(event["event_id"]), UUID(event["user_id"])),
        *(datetime.fromisoformat(event["captured_at"]), event["emotion_primary"]),
        *(event["emotion_confidence"], event["arousal"], event["valence"], event["source"]),
    )


def _message(client_id: UUID, events: list[Event]) -> OutgoingMessage:
    content = events[0] if len(events) == 1 else {"events": events}
    return OutgoingMessage(
        message_id=uuid4(), body=json.dumps(content).encode(), app_id=str(client_id)
    )


async def _post_all(bench: Bench, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        answer = await bench.http.post(
            "/api/v1/emotions/ingest", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.json()["rejected"] == 0, answer.text[:500]


async def _growth(bench: Bench, *, count: int) -> float:
    """Return the rate from the first batch seen to the last event; the start-up does not count."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    marks: list[tuple[float, int]] = []
    while not marks or marks[-1][1] < count:
        await asyncio.sleep(POLL_SECONDS)
        seen = await bench.stored()
        if seen and (not marks or seen > marks[-1][1]):
            marks.append((time.perf_counter(), seen))
        assert time.perf_counter() < deadline, f"{seen} of {count} after {PATIENCE_SECONDS} s"
    (started, at_first), (ended, at_last) = marks[0], marks[-1]
    return (at_last - at_first) / (ended - started)


async def _bearer(http: httpx.AsyncClient, client: dict[str, str]) -> str:
    answer = await http.post(
        "/token",
        data={"grant_type": "client_credentials"},
        auth=(client["client_id"], client["client_secret"]),
    )
    return f"Bearer {answer.json()['access_token']}"


def main() -> None:
    """Start a stack, measure, print the table, leave nothing behind."""
    console = Console()
    configure_logging(level="error", service="benchmark")
    with Stack(throwaway=True, say=console.print) as stack:
        os.environ.update(stack.env)
        console.print(report(asyncio.run(run(stack, console))))


if __name__ == "__main__":
    main()
