"""Streams of messages: what a broker carries for us, whoever the broker is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

LENGTH_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """
    A durable queue behind an exchange, and the queue of what could not be used.

    ``length_max`` bounds the messages that wait; a fuller queue refuses further ones.
    """

    exchange: str
    routing_key: str
    queue: str
    dead_queue: str
    length_max: int = LENGTH_MAX


EMOTIONS: Final = Stream(
    exchange="ecs.emotions",
    routing_key="event",
    queue="ecs.emotions.events",
    dead_queue="ecs.emotions.dead",
)
STREAMS: Final[Mapping[str, Stream]] = MappingProxyType({"emotions": EMOTIONS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message as it was taken from a stream. ``app_id`` names the client that sent it."""

    body: bytes = field(repr=False)
    app_id: str | None
    message_id: str | None
    redelivered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Something that cannot be used, the code and the reason why, and who sent it."""

    message_id: UUID
    body: bytes = field(repr=False)
    code: str
    reason: str
    client: str | None


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
    headers: Mapping[str, str] = field(default_factory=dict)


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
