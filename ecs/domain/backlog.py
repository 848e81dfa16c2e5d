"""What waits to be done, and how it is shown."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

from ecs.domain.measures import (
    AUDIT_UNSEALED_SECONDS,
    JOBS_OLDEST_SECONDS,
    JOBS_UNFINISHED,
    OTHER,
    OUTBOX_LAG_SECONDS,
    OUTBOX_PARKED,
    OUTBOX_WAITING,
    PREQUALIFICATIONS_OLDEST_SECONDS,
    PREQUALIFICATIONS_OPEN,
    QUEUE_CONSUMERS,
    QUEUE_MESSAGES,
)
from ecs.domain.telemetry import Gauge


class What(StrEnum):
    """What may wait."""

    OUTBOX = "outbox"
    PARKED = "parked"
    JOB = "job"
    PENDING = "pending"
    IN_REVIEW = "in_review"
    UNSEALED = "unsealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """
    So many of one kind wait, the oldest for so long.

    ``labels`` say which: a ``destination``, a ``kind``, a ``status``, as they are stored.
    """

    what: What
    labels: Mapping[str, str]
    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLength:
    """How many messages lie in a queue and are with nobody, and how many consumers it has."""

    messages: int
    consumers: int


NO_QUEUE: Final = QueueLength(messages=0, consumers=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A gauge, and what it is to be set to."""

    gauge: Gauge
    labels: Mapping[str, str]
    value: float


# How many there are, and the age of the oldest.
_SHOWN: Final[Mapping[What, tuple[Gauge | None, Gauge | None]]] = {
    What.OUTBOX: (OUTBOX_WAITING, OUTBOX_LAG_SECONDS),
    What.PARKED: (OUTBOX_PARKED, None),
    What.JOB: (JOBS_UNFINISHED, JOBS_OLDEST_SECONDS),
    What.PENDING: (PREQUALIFICATIONS_OPEN, PREQUALIFICATIONS_OLDEST_SECONDS),
    What.IN_REVIEW: (PREQUALIFICATIONS_OPEN, None),
    What.UNSEALED: (None, AUDIT_UNSEALED_SECONDS),
}
assert set(_SHOWN) == set(What)
_GAUGES: Final = {gauge.name: gauge for pair in _SHOWN.values() for gauge in pair if gauge}

_Place = tuple[str, tuple[str, ...]]
"""A gauge's name, and a value for each of its labels."""


def database_readings(waiting: Iterable[Waiting]) -> list[Reading]:
    """
    Return a reading for everything that can wait in the database: nought where nothing does.

    Several of which one label says ``other`` are one: as many as all, as old as the oldest.
    """
    values = dict.fromkeys(_places(), 0.0)
    for one in waiting:
        count, age = _SHOWN[one.what]
        if count:
            values[_place(count, one.labels)] += one.count
        if age:
            place = _place(age, one.labels)
            values[place] = max(values[place], one.oldest_seconds)
    return [_reading(place, value) for place, value in values.items()]


def queue_readings(lengths: Mapping[str, QueueLength]) -> Iterator[Reading]:
    """Yield a reading for the messages of each queue, and for the consumers of work."""
    for queue, length in lengths.items():
        labels = {"queue": queue}
        yield Reading(gauge=QUEUE_MESSAGES, labels=labels, value=length.messages)
        if queue in QUEUE_CONSUMERS.labels["queue"]:
            yield Reading(gauge=QUEUE_CONSUMERS, labels=labels, value=length.consumers)


def _places() -> Iterator[_Place]:
    for gauge in _GAUGES.values():
        for values in product(*gauge.labels.values()):
            yield gauge.name, values


def _place(gauge: Gauge, labels: Mapping[str, str]) -> _Place:
    values = (
        labels[name] if labels[name] in known else OTHER for name, known in gauge.labels.items()
    )
    return gauge.name, tuple(values)


def _reading(place: _Place, value: float) -> Reading:
    gauge = _GAUGES[place[0]]
    labels = dict(zip(gauge.labels, place[1], strict=True))
    return Reading(gauge=gauge, labels=labels, value=value)
