"""RabbitMQ as somebody else's program speaks to it: plain pika."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from ecs.config import RabbitSettings
from ecs.domain.streams import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message as it lay in a queue."""

    body: bytes = field(repr=False)
    properties: Any
    redelivered: bool

    @property
    def headers(self) -> dict[str, Any]:
        return dict(self.properties.headers or {})

    @property
    def own_headers(self) -> dict[str, Any]:
        """What its sender has written, without the broker's own notes."""
        return {name: value for name, value in self.headers.items() if name != "x-delivery-count"}

    @property
    def deliveries_before(self) -> int:
        """How often it was given to somebody who did not acknowledge it."""
        return int(self.headers.get("x-delivery-count", 0))


@contextmanager
def amqp_channel(rabbitmq: RabbitSettings, *, confirmed: bool = True) -> Iterator[BlockingChannel]:
    """A channel on which publishing waits for the broker's word, unless told otherwise."""
    credentials = pika.PlainCredentials(rabbitmq.user, rabbitmq.password.get_secret_value())
    parameters = pika.ConnectionParameters(
        host=rabbitmq.host, port=rabbitmq.port, credentials=credentials
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def send(
    channel: BlockingChannel,
    stream: Stream,
    *bodies: bytes,
    app_id: str | None = "a-client",
    **properties: Any,
) -> None:
    """Publish as a device's own program would."""
    for body in bodies:
        channel.basic_publish(
            stream.exchange,
            stream.routing_key,
            body,
            pika.BasicProperties(app_id=app_id, delivery_mode=2, **properties),
            mandatory=True,
        )


def take_all(channel: BlockingChannel, queue: str) -> list[Taken]:
    """Take what lies in a queue now."""
    taken: list[Taken] = []
    while True:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is None or body is None:
            return taken
        taken.append(Taken(body=body, properties=properties, redelivered=bool(method.redelivered)))


def waiting(channel: BlockingChannel, queue: str) -> int:
    """Return how many messages lie in a queue and are with nobody."""
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def forget(channel: BlockingChannel, stream: Stream) -> None:
    """Delete a stream's queue under the feet of whoever consumes it."""
    channel.queue_delete(stream.queue)
