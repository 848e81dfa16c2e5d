"""Carries events from the outbox to their destinations, and finds the work that got lost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.events import OutboxMessage
from ecs.domain.jobs import ParkedJob
from ecs.domain.measures import JOBS_REDISPATCHED, OUTBOX_PUBLISHED, OUTBOX_REFUSED, OUTBOX_SECONDS
from ecs.domain.telemetry import Measures, Traces
from ecs.integrations.exceptions import PublishInterrupted
from ecs.repositories.exceptions import RepositoryError
from ecs.repositories.outbox_listener import OutboxListener
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.idempotency import KEPT_FOR
from ecs.services.ports import GiveUp, Publisher

log = structlog.get_logger(__name__)

BATCH_MAX: Final = 200
PATIENCE: Final = timedelta(seconds=10)
PUBLISHED_AGE_MAX: Final = timedelta(days=7)
PROCESSED_AGE_MAX: Final = timedelta(days=30)
CLEAN_BATCH: Final = 1000
CLEAN_BATCHES_MAX: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxService:
    """
    At-least-once delivery.

    ``publishers`` has one entry for each scheme of a destination: ``rq`` of ``rq:accounts``.
    ``give_up`` ends an unfinished job by its id, one entry for each kind of job.
    """

    unit_of_work: Callable[[], UnitOfWork]
    publishers: Mapping[str, Publisher]
    listener: OutboxListener
    give_up: Mapping[str, GiveUp]
    measures: Measures
    traces: Traces

    async def relay(self, destination: str) -> int:
        """
        Carry what waits for ``destination``; return how many events were taken in hand.

        Confirmed rows are marked even when others of the batch are refused, or unanswered.

        Raises:
            DestinationUnavailable: nobody answers there, or not for all; the others wait.
        """
        publisher = self.publishers[destination.partition(":")[0]]
        async with self.unit_of_work() as uow:
            messages = await uow.outbox.take(destination, limit=BATCH_MAX)
            if not messages:
                return 0
            carried = await _carry(messages, publisher)
            delays = await uow.outbox.mark_published([one.id for one in carried.confirmed])
            parked = await uow.outbox.mark_failed(carried.refused) if carried.refused else []
            await uow.commit()
        self._measure(destination, carried, delays)
        _log_carried(carried, parked)
        if carried.interruption is not None:
            raise carried.interruption
        return len(messages)

    async def redispatch_lost(self) -> int:
        """Have jobs carried again that were handed over, are unfinished, and that nobody holds."""
        async with self.unit_of_work() as uow:
            lost = await uow.outbox.redispatch_lost(patience=PATIENCE, limit=BATCH_MAX)
            await uow.commit()
        self.measures.count(JOBS_REDISPATCHED, len(lost))
        for job_id in lost:
            log.warning("jobs.redispatched", job_id=str(job_id))
        return len(lost)

    async def find_parked_jobs(self) -> list[ParkedJob]:
        """Return unfinished jobs whose event no destination will ever take."""
        async with self.unit_of_work() as uow:
            return await uow.outbox.find_parked_jobs(limit=BATCH_MAX)

    async def give_up_parked(self) -> None:
        """End the jobs whose events nobody will ever take; one that resists stops no other."""
        for job in await self.find_parked_jobs():
            give_up = self.give_up.get(job.kind)
            if give_up is None:
                log.error("jobs.unknown-kind", kind=job.kind, job_id=str(job.id))
                continue
            try:
                await give_up(job_id=job.id)
            except RepositoryError as error:
                log.warning("jobs.not-given-up", reason=repr(error), job_id=str(job.id))

    async def clean_up(self) -> int:
        """Delete what nobody will ask for again, batch by batch; return how many rows went."""
        removed = 0
        for _ in range(CLEAN_BATCHES_MAX):
            batch = await self._clean_batch()
            removed += batch
            if batch < CLEAN_BATCH:
                break
        log.info("outbox.cleaned", rows=removed)
        return removed

    def _measure(self, destination: str, carried: "_Carried", delays: Sequence[timedelta]) -> None:
        self.measures.count(OUTBOX_PUBLISHED, len(carried.confirmed), destination=destination)
        self.measures.count(OUTBOX_REFUSED, len(carried.refused), destination=destination)
        for delay in delays:
            self.measures.observe(OUTBOX_SECONDS, delay.total_seconds(), destination=destination)
        for message in carried.confirmed:
            if message.attempt == 1:  # A later one has waited for an attempt and a pause.
                self.traces.record(
                    f"outbox {destination}", parent=message.trace_parent, since=message.created_at
                )

    async def _clean_batch(self) -> int:
        async with self.unit_of_work() as uow:
            events = await uow.outbox.remove_published(
                older_than=PUBLISHED_AGE_MAX, limit=CLEAN_BATCH
            )
            memories = await uow.processed_messages.forget(
                older_than=PROCESSED_AGE_MAX, limit=CLEAN_BATCH
            )
            results = await uow.idempotency.forget(older_than=KEPT_FOR, limit=CLEAN_BATCH)
            await uow.commit()
        return events + memories + results


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """What became of a batch; ``interruption`` is why some of it was not answered."""

    confirmed: Sequence[OutboxMessage]
    refused: Mapping[UUID, str]
    interruption: PublishInterrupted | None = None


async def _carry(messages: Sequence[OutboxMessage], publisher: Publisher) -> _Carried:
    try:
        refused = await publisher.publish(messages)
    except PublishInterrupted as interruption:
        if not interruption.confirmed:
            raise
        confirmed = [message for message in messages if message.id in interruption.confirmed]
        return _Carried(confirmed=confirmed, refused={}, interruption=interruption)
    confirmed = [message for message in messages if message.id not in refused]
    return _Carried(confirmed=confirmed, refused=refused)


def _log_carried(carried: _Carried, parked: Sequence[UUID]) -> None:
    for message in carried.confirmed:
        log.info(
            "outbox.published",
            event_id=str(message.id),
            event_name=message.name,
            destination=message.destination,
            attempt=message.attempt,
            request_id=message.request_id,
        )
    for event_id, reason in carried.refused.items():
        log.warning("outbox.refused", event_id=str(event_id), reason=reason)
    for event_id in parked:
        log.error("outbox.parked", event_id=str(event_id))
