"""
Measures of a forked process, told to the one that forked it.

RQ forks a process for each job, and nobody could ask that one for anything: when it is gone, so is
its memory. So it writes each measurement as a line to a pipe, and its parent keeps them. A line is
shorter than what a pipe takes in one piece, so a process that is killed leaves none cut in two.
"""

import json
import os
import threading
from collections.abc import Callable
from typing import Any, Final, Literal

import structlog

from ecs.domain.measures import ALL, LOG_LINES
from ecs.domain.telemetry import Counter, Gauge, Histogram, Measure, Measures

log = structlog.get_logger(__name__)

BY_NAME: Final = {measure.name: measure for measure in ALL}
Kind = Literal["count", "observe", "set"]


class ForwardedMeasures:
    """Writes what is measured to a pipe. A full pipe loses a measurement, never holds up work."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        os.set_blocking(pipe, False)

    def expect(self, measure: Counter | Histogram, /, **labels: str) -> None:
        """Do nothing: what is known before anything happens is known to the parent."""

    def count(self, counter: Counter, /, amount: float = 1, **labels: str) -> None:
        """Add ``amount`` to a counter."""
        self._tell("count", counter, amount, labels)

    def observe(self, histogram: Histogram, value: float, /, **labels: str) -> None:
        """Add one value to a histogram."""
        self._tell("observe", histogram, value, labels)

    def set(self, gauge: Gauge, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        self._tell("set", gauge, value, labels)

    def watch(self, gauge: Gauge, read: Callable[[], float], /, **labels: str) -> None:
        """Do nothing: nobody can look at a process that is gone in a moment."""

    def _tell(self, kind: Kind, measure: Measure, value: float, labels: dict[str, str]) -> None:
        line = json.dumps([kind, measure.name, value, labels]).encode() + b"\n"
        try:
            os.write(self._pipe, line)
        except OSError as error:
            if measure is not LOG_LINES:  # This very line would be counted, and lost as well.
                reason = type(error).__name__
                log.warning("metrics.measurement-lost", name=measure.name, reason=reason)


def receive_forwarded(measures: Measures) -> ForwardedMeasures:
    """Return what forked processes measure with; a thread of this one keeps it in ``measures``."""
    reading, writing = os.pipe()
    thread = threading.Thread(
        target=_receive, args=(reading, measures), name="forwarded-measures", daemon=True
    )
    thread.start()
    return ForwardedMeasures(writing)


def _receive(pipe: int, measures: Measures) -> None:
    with os.fdopen(pipe, "rb") as lines:
        for line in lines:
            try:
                _keep(json.loads(line), measures)
            except (ValueError, LookupError, TypeError) as error:
                log.warning("metrics.unreadable-measurement", reason=type(error).__name__)


def _keep(told: list[Any], measures: Measures) -> None:
    kind, name, value, labels = told
    keep: dict[Kind, Callable[..., None]] = {
        "count": measures.count,
        "observe": measures.observe,
        "set": measures.set,
    }
    keep[kind](BY_NAME[name], value, **labels)
