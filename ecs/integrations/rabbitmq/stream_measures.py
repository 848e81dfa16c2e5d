"""What is measured of a batch of messages."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ecs.domain.measures import (
    STREAM_AGE_SECONDS,
    STREAM_BATCH,
    STREAM_DEAD,
    STREAM_MESSAGES,
    STREAM_REDELIVERED,
    STREAM_SECONDS,
)
from ecs.domain.streams import DeadLetter, Delivery, Left, Postponed
from ecs.domain.telemetry import Measures
from ecs.integrations.rabbitmq.publisher import Clock

# A clock may be a little wrong, and a message may wait for long; anything else is nonsense.
AHEAD_MAX: Final = timedelta(seconds=10)
AGE_MAX: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMeasures:
    """Measures the batches of one queue."""

    measures: Measures
    queue: str
    now: Clock

    def taken(self, sent_at: Iterable[datetime | None]) -> None:
        """Measure how old messages are that are taken for the first time, as far as they say it."""
        now = self.now()
        for moment in sent_at:
            seconds = age_seconds(moment, now=now)
            if seconds is not None:
                self.measures.observe(STREAM_AGE_SECONDS, seconds, queue=self.queue)

    def done(
        self, deliveries: Sequence[Delivery], left: Sequence[Left], *, handled_seconds: float
    ) -> None:
        """Measure a batch that is acknowledged: what is left of it lies elsewhere."""
        measures, queue = self.measures, self.queue
        measures.observe(STREAM_BATCH, len(deliveries), queue=queue)
        measures.observe(STREAM_SECONDS, handled_seconds, queue=queue)
        for outcome, count in outcomes(deliveries, left).items():
            measures.count(STREAM_MESSAGES, count, queue=queue, outcome=outcome)
        redelivered = sum(delivery.redelivered for delivery in deliveries)
        measures.count(STREAM_REDELIVERED, redelivered, queue=queue)
        for code, count in dead_codes(left).items():
            measures.count(STREAM_DEAD, count, queue=queue, code=code)


def outcomes(deliveries: Iterable[Delivery], left: Sequence[Left]) -> Counter[str]:
    """
    Return how many messages are postponed, dead or done; together as many as there were.

    A message may hold several events, of which each may be a letter. It is dead when it was buried
    as a whole: then a letter has its body.
    """
    bodies = Counter(delivery.body for delivery in deliveries)
    postponed = bodies & Counter(one.delivery.body for one in left if isinstance(one, Postponed))
    rest = bodies - postponed
    dead = rest & Counter(one.body for one in left if isinstance(one, DeadLetter))
    return Counter(postponed=postponed.total(), dead=dead.total(), done=rest.total() - dead.total())


def dead_codes(left: Iterable[Left]) -> Counter[str]:
    """Return how many letters there are of each code."""
    return Counter(one.code for one in left if isinstance(one, DeadLetter))


def age_seconds(sent_at: datetime | None, *, now: datetime) -> float | None:
    """Return how old a message is; None when it does not say, or nothing that can be true."""
    if sent_at is None or not -AHEAD_MAX <= now - sent_at <= AGE_MAX:
        return None
    return max(0.0, (now - sent_at).total_seconds())
