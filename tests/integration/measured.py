"""The services with everything measured, and what Prometheus would read of it."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from ecs.bootstrap import Application, application
from ecs.domain import telemetry
from ecs.domain.telemetry import Histogram, Measure
from ecs.integrations.telemetry.prometheus import PrometheusMeasures
from ecs.telemetry import Telemetry
from tests.builders import Database, settings_for

PATIENCE_SECONDS: Final = 20


class HeardMeasures(PrometheusMeasures):
    """Measures that tell whoever waits that something was counted."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def count(self, counter: telemetry.Counter, /, amount: float = 1, **labels: str) -> None:
        super().count(counter, amount, **labels)
        self.heard[counter.name].set()


class Meter:
    """
    What has been counted, read as Prometheus does.

    Everything that moved is looked at, so that what is counted by mistake is seen, too.
    """

    def __init__(self, exposition: Callable[[], bytes] | None = None) -> None:
        self.measures = HeardMeasures()
        self._read = exposition or self.measures.exposition
        self._seen: Counter[str] = Counter()

    def counted(self) -> dict[str, float]:
        """Return what every counter and histogram has counted since the last call."""
        now = Counter(
            {
                _key(one.name, one.labels): one.value
                for family in text_string_to_metric_families(self._read().decode())
                for one in family.samples
                if one.name.startswith("ecs_") and one.name.endswith(("_total", "_count"))
            }
        )
        moved = {key: number - self._seen[key] for key, number in now.items()}
        self._seen = now
        return {key: number for key, number in moved.items() if number}

    async def counted_by(
        self, loop: Coroutine[Any, Any, None], awaited: Measure
    ) -> dict[str, float]:
        """Run a loop that has no end until it has counted ``awaited``; return what it counted."""
        running = asyncio.create_task(loop)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.measures.heard[awaited.name].wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        return self.counted()

    def total(self, histogram: Histogram, **labels: str) -> float:
        """Return the sum of what a histogram has observed."""
        return next(
            one.value
            for family in text_string_to_metric_families(self._read().decode())
            for one in family.samples
            if one.name == f"{histogram.name}_sum" and one.labels == labels
        )


def of(measure: Measure, **labels: str) -> str:
    """Return by what name a meter tells what ``measure`` counted."""
    suffix = "_count" if isinstance(measure, Histogram) else ""
    return _key(measure.name + suffix, labels)


@asynccontextmanager
async def measured(database: Database, redis_url: str, meter: Meter) -> AsyncIterator[Application]:
    """The services as a process has them, which measure what they do."""
    telemetry = Telemetry(measures=meter.measures)
    settings = settings_for(database, redis_url)
    async with application(settings, name="test", telemetry=telemetry) as ecs:
        yield ecs


def _key(name: str, labels: dict[str, str]) -> str:
    return " ".join([name, *(f"{label}={value}" for label, value in sorted(labels.items()))])
