"""Fixtures of every test: fresh databases, a Redis of one's own, and a whole running stack."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import pytest
import redis
from hypothesis import settings as hypothesis_settings

from ecs.config import RabbitSettings
from ecs.domain.streams import Stream
from ecs.integrations.telemetry.tracing import OpenTelemetryTraces
from scripts.stack import Stack
from tests.amqp import amqp_channel
from tests.shared_services import (
    TEMPLATE,
    Services,
    ServicesKeeper,
    ask_for_rabbitmq,
    create_database,
    drop_database,
    in_database,
)
from tests.sinks import Taken, trace_collector, tracing_to

# A busy machine is no counterexample.
hypothesis_settings.register_profile("ecs", deadline=None)
hypothesis_settings.load_profile("ecs")

KEEPER: Final = pytest.StashKey[ServicesKeeper]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A fresh, migrated database of one test; two roles may enter."""

    name: str
    owner_url: str = field(repr=False)
    app_url: str = field(repr=False)


def pytest_configure(config: pytest.Config) -> None:
    """Offer the shared services from the one process that outlives all tests."""
    for library, level in (("aiormq", logging.CRITICAL), ("pika", logging.ERROR)):
        logging.getLogger(library).setLevel(level)  # A stack for each try to connect, or more.
    if not hasattr(config, "workerinput"):
        config.stash[KEEPER] = ServicesKeeper()
        config.stash[KEEPER].start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the shared services, also after failures and Ctrl-C."""
    keeper = config.stash.get(KEEPER, None)
    if keeper is not None:
        keeper.stop()


@pytest.fixture(scope="session")
def services() -> Services:
    """The addresses of the run's PostgreSQL and Redis."""
    return Services.ask()


@pytest.fixture
async def database(services: Services) -> AsyncIterator[Database]:
    """A copy of the migrated template, dropped afterwards."""
    name = f"test_{uuid4().hex}"
    await create_database(services, name, template=TEMPLATE)
    yield Database(
        name=name,
        owner_url=in_database(services.owner_url, name),
        app_url=in_database(services.app_url, name),
    )
    await drop_database(services, name)


@pytest.fixture
async def empty_database(services: Services) -> AsyncIterator[Database]:
    """A database without any table, for the migrations themselves."""
    name = f"empty_{uuid4().hex}"
    await create_database(services, name, template="template1")
    yield Database(
        name=name,
        owner_url=in_database(services.owner_url, name),
        app_url=in_database(services.app_url, name),
    )
    await drop_database(services, name)


@pytest.fixture
def redis_url(services: Services) -> str:
    """The Redis database of this worker, empty."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    url = f"{services.redis_url}/{int(worker) + 1}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def rabbitmq() -> RabbitSettings:
    """The address of the run's RabbitMQ."""
    return ask_for_rabbitmq()


@pytest.fixture
def stream(rabbitmq: RabbitSettings) -> Iterator[Stream]:
    """A stream of this test alone; its queues and its exchange are gone afterwards."""
    name = f"test.{uuid4().hex}"
    stream = Stream(
        exchange=name, routing_key="event", queue=f"{name}.events", dead_queue=f"{name}.dead"
    )
    yield stream
    with amqp_channel(rabbitmq) as channel:
        channel.queue_delete(stream.queue)
        channel.queue_delete(stream.dead_queue)
        channel.exchange_delete(stream.exchange)


@pytest.fixture
def collector() -> Iterator[Taken]:
    """What takes traces, on a free port."""
    with trace_collector() as taken:
        yield taken


@pytest.fixture
def traces(collector: Taken) -> Iterator[OpenTelemetryTraces]:
    """This process, traced to ``collector``."""
    with tracing_to(collector.url) as traces:
        yield traces


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Everything, on a throw-away place: one stack for each worker of the run that asks for it."""
    with Stack(throwaway=True) as running:
        yield running
