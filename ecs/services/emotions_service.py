"""Use cases of emotional events: take in a batch, show people their mood, forget in time."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.emotions.events import AGE_MAX, IncomingEvent, Verdict, refusal
from ecs.domain.emotions.summary import MoodDay, summarise
from ecs.domain.measures import EMOTIONAL_EVENTS
from ecs.domain.people import Standing
from ecs.domain.telemetry import Measures
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.ports import Clock

log = structlog.get_logger(__name__)

INGEST_SCOPE: Final = "emotions:ingest"
REMOVAL_BATCH: Final = 5000
REMOVAL_BATCHES_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionsService:
    """Readings of people's mood, which only their consent lets in."""

    unit_of_work: Callable[[], UnitOfWork]
    now: Clock
    measures: Measures

    async def ingest(self, items: Sequence[IncomingEvent]) -> dict[int, Verdict]:
        """
        Store what is new; return a verdict for each item's index. A replay stores nothing.

        The caller vouches for the clients: HTTP has checked the token of the one it serves.
        """
        refused = self._refuse(items)
        sound = [item for item in items if item.index not in refused]
        stored: dict[int, Verdict] = {}
        if sound:
            async with self.unit_of_work() as uow:
                stored = await uow.emotions.ingest(sound)
                await uow.commit()
        return self._judged(refused | stored)

    async def ingest_unvouched(self, items: Sequence[IncomingEvent]) -> dict[int, Verdict]:
        """Do the same for clients that only named themselves, as they do over the broker."""
        async with self.unit_of_work() as uow:
            standings = await uow.auth.find_client_standings({item.client_id for item in items})
            refused = _refuse_clients(items, standings)
            refused |= self._refuse([item for item in items if item.index not in refused])
            sound = [item for item in items if item.index not in refused]
            stored = await uow.emotions.ingest(sound) if sound else {}
            await uow.commit()
        return self._judged(refused | stored)

    async def summarise(self, *, user_id: UUID, days: int) -> list[MoodDay]:
        """Return the person's own mood of the last ``days`` UTC days, today included, in order."""
        today = self.now().date()
        wanted = [today - timedelta(days=ago) for ago in reversed(range(days))]
        async with self.unit_of_work() as uow:
            counts = await uow.emotions.count_by_day(user_id, first=wanted[0], last=today)
        return summarise(wanted, counts)

    async def remove_expired(self) -> int:
        """Delete raw events that are older than anybody may look at, in small transactions."""
        removed = 0
        for _ in range(REMOVAL_BATCHES_MAX):
            async with self.unit_of_work() as uow:
                batch = await uow.emotions.remove(older_than=AGE_MAX, limit=REMOVAL_BATCH)
                await uow.commit()
            removed += batch
            if batch < REMOVAL_BATCH:
                break
        log.info("emotions.expired-removed", events=removed)
        return removed

    def _refuse(self, items: Sequence[IncomingEvent]) -> dict[int, Verdict]:
        now = self.now()
        verdicts = {item.index: refusal(item, now=now) for item in items}
        return {index: verdict for index, verdict in verdicts.items() if verdict}

    def _judged(self, verdicts: dict[int, Verdict]) -> dict[int, Verdict]:
        counts = Counter(verdict.value for verdict in verdicts.values())
        for verdict, items in counts.items():
            self.measures.count(EMOTIONAL_EVENTS, items, verdict=verdict)
        log.info("emotions.ingested", items=len(verdicts), **counts)
        return verdicts


def _refuse_clients(
    items: Sequence[IncomingEvent], standings: Mapping[UUID, Standing]
) -> dict[int, Verdict]:
    verdicts: dict[int, Verdict] = {}
    for item in items:
        standing = standings.get(item.client_id)
        if standing is None or not standing.enabled:
            verdicts[item.index] = Verdict.UNKNOWN_CLIENT
        elif INGEST_SCOPE not in standing.scopes:
            verdicts[item.index] = Verdict.MISSING_SCOPE
    return verdicts
