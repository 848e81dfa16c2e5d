"""Measures of a forked process, told to the one that forked it: real forks, really killed."""

import json
import os
import queue
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from ecs.domain.measures import ALL, JOB_SECONDS, OUTBOX_WAITING, SWEEPS
from ecs.domain.telemetry import Counter, Gauge, Histogram, Measure
from ecs.integrations.telemetry import forwarding
from ecs.integrations.telemetry.forwarding import ForwardedMeasures, receive_forwarded
from ecs.integrations.telemetry.prometheus import PrometheusMeasures

PATIENCE_SECONDS: Final = 10
KILLED: Final = 9

Told = tuple[str, str, float, dict[str, str]]


class Heard:
    """Keeps what arrives in the order in which it arrives, for a test that waits for it."""

    def __init__(self) -> None:
        self.told: queue.Queue[Told] = queue.Queue()

    def expect(self, measure: Counter | Histogram, /, **labels: str) -> None:
        raise AssertionError("what is known beforehand is known to the parent")

    def count(self, counter: Counter, /, amount: float = 1, **labels: str) -> None:
        self.told.put(("count", counter.name, amount, labels))

    def observe(self, histogram: Histogram, value: float, /, **labels: str) -> None:
        self.told.put(("observe", histogram.name, value, labels))

    def set(self, gauge: Gauge, value: float, /, **labels: str) -> None:
        self.told.put(("set", gauge.name, value, labels))

    def watch(self, gauge: Gauge, read: Callable[[], float], /, **labels: str) -> None:
        raise AssertionError("nobody can look at a process that is gone")

    def next(self) -> Told:
        return self.told.get(timeout=PATIENCE_SECONDS)

    def until(self, last: float) -> list[float]:
        """Return the values that came before ``last`` did."""
        values: list[float] = []
        while (value := self.next()[2]) != last:
            values.append(value)
        return values


def forked(work: Callable[[], object]) -> int:
    """Return a process that works, and is killed when it has done so."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def ended(pid: int) -> int:
    """Return by which signal a process ended."""
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status)


@contextmanager
def narrow_pipe() -> Iterator[tuple[int, int]]:
    """Return both ends of a pipe that nobody reads."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def sweep(measures: ForwardedMeasures, amount: float) -> None:
    measures.count(SWEEPS, amount, outcome="done")


class TestForwardedMeasures:
    def test_of_a_killed_process_are_kept(self) -> None:
        heard = Heard()
        measures = receive_forwarded(heard)

        def work() -> None:
            measures.count(SWEEPS, outcome="failed")
            measures.observe(JOB_SECONDS, 0.25, kind="clean_up", outcome="done")
            measures.set(OUTBOX_WAITING, 7, destination="rq:accounts")
            measures.watch(OUTBOX_WAITING, lambda: 1, destination="rq:mail")

        assert ended(forked(work)) == KILLED
        assert [heard.next() for _ in range(3)] == [
            ("count", SWEEPS.name, 1, {"outcome": "failed"}),
            ("observe", JOB_SECONDS.name, 0.25, {"kind": "clean_up", "outcome": "done"}),
            ("set", OUTBOX_WAITING.name, 7, {"destination": "rq:accounts"}),
        ]

    def test_are_whole_or_not_there_when_a_process_is_killed_while_it_measures(self) -> None:
        heard = Heard()
        measures = receive_forwarded(heard)

        def work() -> None:
            for number in range(1, 10**9):
                sweep(measures, number)

        with capture_logs() as lines:
            pid = forked(work)
            seen = [heard.next()[2] for _ in range(200)]
            os.kill(pid, signal.SIGKILL)
            assert ended(pid) == KILLED
            tell_the_end(measures)
            seen += heard.until(-1)
        assert seen == sorted(set(seen))
        assert "metrics.unreadable-measurement" not in {line["event"] for line in lines}

    def test_of_several_processes_at_once_are_not_mixed(self) -> None:
        heard = Heard()
        measures = receive_forwarded(heard)

        def work(first: int) -> None:
            for number in range(100):
                sweep(measures, first + number)

        pids = [forked(partial(work, first)) for first in (1_000, 2_000, 3_000)]
        assert [ended(pid) for pid in pids] == [KILLED] * 3
        tell_the_end(measures)
        assert sorted(heard.until(-1)) == [
            first + number for first in (1_000, 2_000, 3_000) for number in range(100)
        ]

    def test_are_kept_by_the_registry_of_the_parent(self) -> None:
        kept, heard = PrometheusMeasures([SWEEPS]), Heard()
        measures = receive_forwarded(Both(kept, heard))

        assert ended(forked(partial(sweep, measures, 3))) == KILLED
        heard.next()
        assert b'ecs_job_sweeps_total{outcome="done"} 3.0' in kept.exposition()

    def test_that_find_the_pipe_full_are_lost_and_hold_nobody_up(self) -> None:
        with narrow_pipe() as (reading, writing), capture_logs() as lines:
            measures = ForwardedMeasures(writing)
            for number in range(100_000):
                sweep(measures, number)
                if lines:
                    break
            left = os.read(reading, 1 << 20)

        assert [line["event"] for line in lines] == ["metrics.measurement-lost"]
        assert left.endswith(b"\n")
        told = [json.loads(line) for line in left.splitlines()]
        assert [value for _, _, value, _ in told] == list(range(len(told)))

    def test_that_nobody_reads_any_more_hold_nobody_up(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with capture_logs() as lines:
            sweep(ForwardedMeasures(writing), 1)
        os.close(writing)

        assert [line["reason"] for line in lines] == ["BrokenPipeError"]

    @pytest.mark.parametrize(
        "line",
        [
            b"\n",
            b"{}\n",
            b"[1, 2]\n",
            b'["count", "ecs_unknown", 1, {}]\n',
            b'["drop", "ecs_job_sweeps_total", 1, {}]\n',
            b'["count", "ecs_job_sweeps_total", 1, 5]\n',
            b"\xff\xfe\n",
        ],
    )
    def test_that_cannot_be_read_are_skipped(self, line: bytes) -> None:
        heard = Heard()
        measures = receive_forwarded(heard)
        with capture_logs() as lines:
            os.write(measures._pipe, line)
            sweep(measures, 1)
            assert heard.next()[2] == 1

        assert [one["event"] for one in lines] == ["metrics.unreadable-measurement"]


class Both:
    """Keeps in a registry, and then says so."""

    def __init__(self, kept: PrometheusMeasures, heard: Heard) -> None:
        self.count_in = (kept, heard)

    def expect(self, measure: Counter | Histogram, /, **labels: str) -> None:
        raise AssertionError("nobody asks both")

    def count(self, counter: Counter, /, amount: float = 1, **labels: str) -> None:
        for one in self.count_in:
            one.count(counter, amount, **labels)

    def observe(self, histogram: Histogram, value: float, /, **labels: str) -> None:
        for one in self.count_in:
            one.observe(histogram, value, **labels)

    def set(self, gauge: Gauge, value: float, /, **labels: str) -> None:
        for one in self.count_in:
            one.set(gauge, value, **labels)

    def watch(self, gauge: Gauge, read: Callable[[], float], /, **labels: str) -> None:
        raise AssertionError("nobody asks both")


def tell_the_end(measures: ForwardedMeasures) -> None:
    """Say behind everything else that nothing follows, once there is room for it."""
    _, ready, _ = select.select([], [measures._pipe], [], PATIENCE_SECONDS)
    assert ready
    sweep(measures, -1)


@pytest.mark.parametrize("measure", ALL, ids=lambda measure: measure.name)
def test_every_measurement_fits_into_what_a_pipe_takes_in_one_piece(measure: Measure) -> None:
    longest: list[Any] = [
        max(known, key=len, default="x" * 100) for known in measure.labels.values()
    ]
    labels = dict(zip(measure.labels, longest, strict=True))
    line = json.dumps(["observe", measure.name, 1 / 3, labels]).encode() + b"\n"

    assert len(line) < select.PIPE_BUF / 4
    assert measure.name in forwarding.BY_NAME
