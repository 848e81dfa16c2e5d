"""Streams of messages: what a broker carries for us, whoever the broker is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from ecs.domain.events import ApplicationSubmitted, CreditReportGenerated

JSON: Final = "application/json"
CLOUD_EVENT: Final = "application/cloudevents+json"
LENGTH_MAX: Final = 1_000_000
# Pauses before a message is tried again: what passes soon, an outage of minutes, one of hours.
RETRY_SECONDS: Final = (*[5] * 3, *[60] * 10, *[600] * 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """
    A durable queue behind an exchange, and the queue of what could not be used.

    ``length_max`` bounds the messages that wait; a fuller queue refuses further ones.
    ``retry_seconds`` are the pauses before a postponed message comes again, one for each attempt;
    what is postponed once more is dead. ``is_ours`` says that nobody but us sends to it, so that
    an id is one message's, and a message a CloudEvent in structured mode.
    """

    exchange: str
    routing_key: str
    queue: str
    dead_queue: str
    length_max: int = LENGTH_MAX
    retry_seconds: tuple[int, ...] = ()
    is_ours: bool = False

    @property
    def pauses_seconds(self) -> tuple[int, ...]:
        """Return each pause once, the shortest first: there is a queue for it."""
        return tuple(sorted(set(self.retry_seconds)))

    @property
    def queues(self) -> tuple[str, ...]:
        """Return the names of all its queues."""
        return (self.queue, self.dead_queue, *map(self.retry_queue, self.pauses_seconds))

    @property
    def content_type(self) -> str:
        """Return what its messages are said to be wherever we put them."""
        return CLOUD_EVENT if self.is_ours else JSON

    def pause_seconds(self, attempt: int) -> int | None:
        """Return how long a message waits that is postponed at this attempt; None: no longer."""
        return self.retry_seconds[attempt - 1] if attempt <= len(self.retry_seconds) else None

    def retry_queue(self, seconds: int) -> str:
        """Return the queue in which messages wait for so long."""
        return f"{self.queue}.retry-{seconds}s"


EMOTIONS: Final = Stream(
    exchange="ecs.emotions",
    routing_key="event",
    queue="ecs.emotions.events",
    dead_queue="ecs.emotions.dead",
)
CREDIT_REPORTS: Final = Stream(
    exchange="ecs.domain",
    routing_key=ApplicationSubmitted.name,
    queue="ecs.prequalification.credit-report",
    dead_queue="ecs.prequalification.credit-report.dead",
    retry_seconds=RETRY_SECONDS,
    is_ours=True,
)
DECISIONS: Final = Stream(
    exchange="ecs.domain",
    routing_key=CreditReportGenerated.name,
    queue="ecs.prequalification.decision",
    dead_queue="ecs.prequalification.decision.dead",
    retry_seconds=RETRY_SECONDS,
    is_ours=True,
)
STREAMS: Final[Mapping[str, Stream]] = MappingProxyType(
    {"emotions": EMOTIONS, "credit-report": CREDIT_REPORTS, "decision": DECISIONS}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    A message as it was taken from a stream. ``app_id`` names the client that sent it.

    ``attempt`` is 1, and one more each time it was postponed.
    """

    body: bytes = field(repr=False)
    app_id: str | None
    message_id: str | None
    redelivered: bool
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """A message that cannot be used now but may be later, and the code and the reason why."""

    delivery: Delivery
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Something that cannot be used, the code and the reason why, and who sent it."""

    message_id: UUID
    body: bytes = field(repr=False)
    code: str
    reason: str
    client: str | None


Left = DeadLetter | Postponed
"""What of a batch is not done with: it is dead, or it comes again after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDeadLetter(DeadLetter):
    """A dead letter as it lies in the dead queue, and since when, if anybody noted it."""

    died_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """A message to publish. The same ``message_id`` says that it is the same message again."""

    message_id: UUID
    body: bytes = field(repr=False)
    app_id: str | None
    content_type: str = JSON
    headers: Mapping[str, str | int] = field(default_factory=dict)


def dead_letter_of(delivery: Delivery, *, stream: Stream, code: str, reason: str) -> DeadLetter:
    """Return a whole message as a dead letter; one of ours keeps its id, when it is sent again."""
    return DeadLetter(
        message_id=lasting_id(delivery, stream=stream),
        body=delivery.body,
        code=code,
        reason=reason,
        client=delivery.app_id,
    )


def lasting_id(delivery: Delivery, *, stream: Stream) -> UUID:
    """Return the id that a whole message has wherever we put it: its own, if we gave it."""
    if stream.is_ours:
        try:
            return UUID(delivery.message_id)
        except (TypeError, ValueError, AttributeError):
            pass  # Somebody else sent it after all.
    return letter_id(delivery, position=None, body=delivery.body)


def letter_id(delivery: Delivery, *, position: int | None, body: bytes) -> UUID:
    """
    Return the id of a dead letter: the same each time the message is delivered.

    The sender's own id is not enough: nothing keeps a device from using it twice. ``position`` is
    the place of ``body`` in the message, None for the message as a whole.
    """
    sent = repr((delivery.app_id, delivery.message_id, position)).encode()
    return uuid5(NAMESPACE_URL, (sent + body).hex())


def names(body: bytes, user_id: UUID) -> bool:
    """Return whether a person's id stands somewhere in a message, which may be broken."""
    return user_id.hex.encode() in body.lower().replace(b"-", b"")
