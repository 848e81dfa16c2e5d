"""Short questions to the systems we depend on, so that ``/ready`` can say who answered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SECONDS_MAX: Final = 1.0
AMQP_HEADER: Final = b"AMQP\x00\x00\x09\x01"
AMQP_METHOD_FRAME: Final = b"\x01"


async def answers(question: Callable[[], Awaitable[bool]]) -> bool:
    """Return what ``question`` says, or False when it fails or takes too long."""
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return await question()
    except Exception:  # noqa: BLE001  (whatever it is, the answer is "no")
        return False


def redis_probe(url: str) -> tuple[Callable[[], Awaitable[bool]], Redis]:
    """Return a question to Redis, and its client for closing."""
    # Asked twice: after a restart of Redis the connection kept from before fails the first time.
    client = Redis.from_url(
        url, socket_connect_timeout=0.2, socket_timeout=0.3, retry=Retry(NoBackoff(), 1)
    )

    async def ping() -> bool:
        return bool(await client.ping())

    return lambda: answers(ping), client


def rabbitmq_probe(host: str, port: int) -> Callable[[], Awaitable[bool]]:
    """Return a question to RabbitMQ: its greeting, not just an open port."""

    async def greet() -> bool:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(AMQP_HEADER)
            await writer.drain()
            return await reader.readexactly(1) == AMQP_METHOD_FRAME
        finally:
            writer.close()

    return lambda: answers(greet)
