"""What waits, measured by somebody who does none of the work."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ecs.domain.backlog import Reading, database_readings, queue_readings
from ecs.domain.measures import BACKLOG_UP
from ecs.domain.streams import STREAMS
from ecs.domain.telemetry import Measures
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.ports import QueueLengths


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogService:
    """
    Looks at what waits, in two places that know nothing of each other.

    A look that fails changes nothing of what was seen before, and says so in ``BACKLOG_UP``.
    """

    unit_of_work: Callable[[], UnitOfWork]
    queues: QueueLengths
    measures: Measures

    async def look_at_database(self) -> None:
        """Measure what waits in PostgreSQL."""
        with self._look("postgresql"):
            async with self.unit_of_work() as uow:
                waiting = await uow.backlog.list_waiting()
            self._show(database_readings(waiting))

    async def look_at_queues(self) -> None:
        """Measure how long RabbitMQ's queues are; ``DestinationUnavailable`` when nobody knows."""
        with self._look("rabbitmq"):
            queues = [queue for stream in STREAMS.values() for queue in stream.queues]
            self._show(queue_readings(await self.queues.read(queues)))

    @contextmanager
    def _look(self, source: str) -> Iterator[None]:
        is_done = False
        try:
            yield
            is_done = True
        finally:
            self.measures.set(BACKLOG_UP, is_done, source=source)

    def _show(self, readings: Iterable[Reading]) -> None:
        for one in readings:
            self.measures.set(one.gauge, one.value, **one.labels)
