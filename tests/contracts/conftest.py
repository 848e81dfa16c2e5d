"""Fixtures of the tests that speak to the broker."""

from collections.abc import Iterator

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from ecs.config import RabbitSettings
from ecs.domain.streams import Stream
from ecs.integrations.rabbitmq.connection import Broker
from tests.amqp import amqp_channel
from tests.contracts.streams_support import broker_of, publishing


@pytest.fixture
async def broker(rabbitmq: RabbitSettings, stream: Stream) -> Broker:
    """The broker, with the stream's queues in place."""
    broker = broker_of(rabbitmq)
    async with publishing(broker) as publisher:
        await publisher.declare(stream)
    return broker


@pytest.fixture
def device(rabbitmq: RabbitSettings) -> Iterator[BlockingChannel]:
    """Somebody else's program."""
    with amqp_channel(rabbitmq) as channel:
        yield channel
