"""Measures kept by prometheus-client, in a registry of their own, and shown on a port."""

import os
from collections.abc import Callable, Iterable
from itertools import product
from threading import Lock
from typing import Any, Final

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, exposition

from ecs.domain.measures import ALL
from ecs.domain.telemetry import Counter, Gauge, Histogram, Measure

log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = exposition.CONTENT_TYPE_PLAIN_0_0_4


class PrometheusMeasures:
    """
    Keeps what this process measures.

    Counters and histograms are there from the start, at nought for every label value that is known:
    nothing has happened yet. A gauge is there once it is set: nought would be an answer.
    """

    def __init__(self, measures: Iterable[Measure] = ALL) -> None:
        # When each series began, nobody asks: a fifth of what would be shown.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._families = {
            one.name: _family(one, self._registry) for one in measures if not isinstance(one, Gauge)
        }
        self._series: dict[tuple[Any, ...], Any] = {}
        self._adding = Lock()

    def expect(self, measure: Counter | Histogram, /, **labels: str) -> None:
        """Have a counter or a histogram begin at nought for labels that are known by now."""
        self._of(measure, labels)

    def count(self, counter: Counter, /, amount: float = 1, **labels: str) -> None:
        """Add ``amount`` to a counter."""
        self._keep("inc", counter, amount, labels)

    def observe(self, histogram: Histogram, value: float, /, **labels: str) -> None:
        """Add one value to a histogram."""
        self._keep("observe", histogram, value, labels)

    def set(self, gauge: Gauge, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        self._keep("set", gauge, value, labels)

    def watch(self, gauge: Gauge, read: Callable[[], float], /, **labels: str) -> None:
        """Have ``read`` asked for a gauge's value whenever somebody looks."""
        self._keep("set_function", gauge, read, labels)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return exposition.generate_latest(self._registry)

    def serve(self, *, host: str, port: int) -> None:
        """
        Show everything on a port, from a thread that ends with the process.

        A port that is taken is told and lived with: a process is there for its work.
        """
        try:
            server, _ = prometheus_client.start_http_server(
                port, addr=host, registry=self._registry
            )
            # A job that outlives its killed worker must not keep the port from the next one.
            os.register_at_fork(after_in_child=server.socket.close)
        except OSError as error:
            log.error("metrics.not-served", port=port, reason=str(error))  # noqa: TRY400  (no stack)

    def _keep(self, how: str, measure: Measure, told: Any, labels: dict[str, str]) -> None:
        """Keep what is told. A mistake in it is ours: it must not undo what was measured."""
        try:
            getattr(self._of(measure, labels), how)(told)
        except (TypeError, ValueError):
            log.exception("metrics.measurement-refused", name=measure.name)

    def _of(self, measure: Measure, labels: dict[str, str]) -> Any:
        """Return what keeps a series. To ask the library for it takes longer than to count."""
        key = (measure.name, *labels.items())
        series = self._series.get(key)
        if series is None:
            family = self._families.get(measure.name) or self._added(measure)
            series = self._series[key] = family.labels(**labels) if measure.labels else family
        return series

    def _added(self, measure: Measure) -> Any:
        with self._adding:
            if measure.name not in self._families:
                self._families[measure.name] = _family(measure, self._registry)
            return self._families[measure.name]


def _family(measure: Measure, registry: CollectorRegistry) -> Any:
    options: dict[str, Any] = {"labelnames": tuple(measure.labels), "registry": registry}
    family: Any
    match measure:
        case Counter():
            family = prometheus_client.Counter(measure.name, measure.help, **options)
        case Histogram():
            family = prometheus_client.Histogram(
                measure.name, measure.help, buckets=tuple(measure.buckets), **options
            )
        case _:
            return prometheus_client.Gauge(measure.name, measure.help, **options)
    if measure.labels:  # Without labels the one child is there by itself.
        for values in product(*measure.labels.values()):
            family.labels(*values)
    return family
