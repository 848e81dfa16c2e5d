"""How the system is watched from outside: what can be measured and traced, whoever keeps it."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

# A trace, a place in it, and flags: https://www.w3.org/TR/trace-context/#traceparent-header
TRACE_PARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """
    Something measured, by its Prometheus name: ``ecs_``, words, and the base unit.

    ``labels`` gives each label the values known beforehand. A label without any takes what comes,
    which must be of a bounded kind: never an id, never a text that a client wrote.
    """

    name: str
    help: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter(Measure):
    """Something that happens, counted since the process began: known labels begin at nought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram(Measure):
    """Something that has a size each time it happens; ``buckets`` are upper bounds, rising."""

    buckets: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge(Measure):
    """Something that has a size at any time; there is none until somebody has looked."""


class Measures(Protocol):
    """Keeps what is measured. Never raises for what it is told, and costs microseconds."""

    def expect(self, measure: Counter | Histogram, /, **labels: str) -> None:
        """Have a counter or a histogram begin at nought for labels that are known by now."""

    def count(self, counter: Counter, /, amount: float = 1, **labels: str) -> None:
        """Add ``amount`` to a counter."""

    def observe(self, histogram: Histogram, value: float, /, **labels: str) -> None:
        """Add one value to a histogram."""

    def set(self, gauge: Gauge, value: float, /, **labels: str) -> None:
        """Set a gauge."""

    def watch(self, gauge: Gauge, read: Callable[[], float], /, **labels: str) -> None:
        """Have ``read`` asked for a gauge's value whenever somebody looks."""


class Traces(Protocol):
    """Keeps what followed from what. A parent is a W3C ``traceparent``, or None."""

    def parent(self) -> str | None:
        """Return what is going on here, for whatever will follow from it elsewhere."""

    def span(self, name: str, *, parents: Sequence[str | None]) -> AbstractContextManager[None]:
        """Trace the work of a block, which follows from each of ``parents``."""

    def record(self, name: str, *, parent: str | None, since: datetime) -> None:
        """Trace something that began at ``since`` and ends now, if ``parent`` is known."""

    def flush(self) -> None:
        """Send what is kept, before the process ends."""


class Unmeasured:
    """Keeps nothing."""

    def expect(self, measure: Counter | Histogram, /, **labels: str) -> None:
        """Do nothing."""

    def count(self, counter: Counter, /, amount: float = 1, **labels: str) -> None:
        """Do nothing."""

    def observe(self, histogram: Histogram, value: float, /, **labels: str) -> None:
        """Do nothing."""

    def set(self, gauge: Gauge, value: float, /, **labels: str) -> None:
        """Do nothing."""

    def watch(self, gauge: Gauge, read: Callable[[], float], /, **labels: str) -> None:
        """Do nothing."""


class Untraced:
    """Traces nothing."""

    def parent(self) -> str | None:
        """Return None."""
        return None

    def span(self, name: str, *, parents: Sequence[str | None]) -> AbstractContextManager[None]:  # noqa: ARG002  (the protocol's)
        """Return a block like any other."""
        return nullcontext()

    def record(self, name: str, *, parent: str | None, since: datetime) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""


UNMEASURED: Final = Unmeasured()
UNTRACED: Final = Untraced()
