"""How what waits becomes what is shown: everything once, nothing left as it was."""

from itertools import product
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from ecs.domain import measures
from ecs.domain.backlog import QueueLength, Waiting, What, database_readings, queue_readings
from ecs.domain.events import DESTINATIONS
from ecs.domain.streams import STREAMS
from ecs.domain.telemetry import Gauge

FROM_THE_DATABASE: Final = (
    measures.OUTBOX_WAITING,
    measures.OUTBOX_LAG_SECONDS,
    measures.OUTBOX_PARKED,
    measures.JOBS_UNFINISHED,
    measures.JOBS_OLDEST_SECONDS,
    measures.PREQUALIFICATIONS_OPEN,
    measures.PREQUALIFICATIONS_OLDEST_SECONDS,
    measures.AUDIT_UNSEALED_SECONDS,
)
destinations = st.sampled_from([*sorted(DESTINATIONS), "rq:forgotten", "amqp:old"])
waiting = st.builds(
    Waiting,
    what=st.just(What.OUTBOX),
    labels=st.builds(lambda name: {"destination": name}, destinations),
    count=st.integers(1, 1_000_000),
    oldest_seconds=st.floats(-5, 1e7),
)


def values(gauge: Gauge, found: list[Waiting]) -> list[float]:
    return [one.value for one in database_readings(found) if one.gauge is gauge]


class TestDatabaseReadings:
    def test_are_one_of_everything_that_can_wait_nought_where_nothing_does(self) -> None:
        readings = database_readings([])
        expected = [
            (gauge.name, labels)
            for gauge in FROM_THE_DATABASE
            for labels in product(*gauge.labels.values())
        ]
        found = [(one.gauge.name, tuple(one.labels.values())) for one in readings]
        assert sorted(found) == sorted(expected)
        assert {one.value for one in readings} == {0}

    @given(st.lists(waiting))
    def test_lose_nothing_and_are_never_negative(self, found: list[Waiting]) -> None:
        assert sum(values(measures.OUTBOX_WAITING, found)) == sum(one.count for one in found)
        ages = [max(0.0, one.oldest_seconds) for one in found]
        assert max(values(measures.OUTBOX_LAG_SECONDS, found)) == max(ages, default=0)
        assert min(values(measures.OUTBOX_LAG_SECONDS, found)) >= 0

    @given(st.lists(waiting))
    def test_are_the_same_series_whatever_waits(self, found: list[Waiting]) -> None:
        def series(these: list[Waiting]) -> list[tuple[str, dict[str, str]]]:
            return [(one.gauge.name, dict(one.labels)) for one in database_readings(these)]

        assert series(found) == series([])


class TestQueueReadings:
    def test_are_messages_of_every_queue_and_consumers_of_those_with_work(self) -> None:
        every = [queue for stream in STREAMS.values() for queue in stream.queues]
        lengths = {queue: QueueLength(messages=7, consumers=2) for queue in every}
        found = [
            (one.gauge.name, one.labels["queue"], one.value) for one in queue_readings(lengths)
        ]
        assert sorted(found) == sorted(
            [("ecs_queue_messages", queue, 7) for queue in every]
            + [("ecs_queue_consumers", stream.queue, 2) for stream in STREAMS.values()]
        )
