"""What every ``Probe`` promises: an answer in about a second, and never an exception."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from ecs.integrations.probes import answers, rabbitmq_probe, redis_probe
from ecs.services.ports import Probe

SECONDS_MAX = 2.0  # 1.2 s on a machine that is not busy.


@asynccontextmanager
async def probe_of(kind: str, port: int) -> AsyncIterator[Probe]:
    if kind == "rabbitmq":
        yield rabbitmq_probe("127.0.0.1", port)
        return
    probe, client = redis_probe(f"redis://127.0.0.1:{port}/0")
    yield probe
    await client.aclose()


@asynccontextmanager
async def a_server(answer: bytes) -> AsyncIterator[int]:
    """Something that answers each connection with ``answer`` and waits."""

    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.append(task)
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*served)


async def asked(probe: Probe) -> tuple[bool, float]:
    started = time.monotonic()
    return await probe(), time.monotonic() - started


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
class TestProbe:
    async def test_says_no_when_nobody_listens(self, kind: str) -> None:
        async with probe_of(kind, 1) as probe:
            up, seconds = await asked(probe)
        assert not up
        assert seconds < SECONDS_MAX

    async def test_says_no_when_the_other_side_hangs(self, kind: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with probe_of(kind, silent.getsockname()[1]) as probe:
                up, seconds = await asked(probe)
        assert not up
        assert seconds < SECONDS_MAX

    async def test_says_no_to_something_else_on_that_port(self, kind: str) -> None:
        async with a_server(b"HTTP/1.1 200 OK\r\n\r\n") as port, probe_of(kind, port) as probe:
            up, seconds = await asked(probe)
        assert not up
        assert seconds < SECONDS_MAX

    async def test_can_be_asked_many_times_at_once(self, kind: str) -> None:
        async with probe_of(kind, 1) as probe:
            assert not any(await asyncio.gather(*(probe() for _ in range(20))))


async def test_redis_that_is_up_says_yes(redis_url: str) -> None:
    probe, client = redis_probe(redis_url)
    assert await probe()
    await client.aclose()


async def test_redis_that_was_away_between_two_questions_says_yes(redis_url: str) -> None:
    probe, client = redis_probe(redis_url)
    assert await probe()
    async with Redis.from_url(redis_url) as killer:
        assert await killer.client_kill_filter(_id=str(await client.client_id())) == 1
    assert await probe()
    await client.aclose()


async def test_a_broker_that_greets_is_up() -> None:
    async with a_server(b"\x01\x00\x00") as port:
        assert await rabbitmq_probe("127.0.0.1", port)()


@pytest.mark.parametrize("failure", [ValueError, OSError, TimeoutError, asyncio.InvalidStateError])
async def test_whatever_goes_wrong_is_a_no(failure: Callable[[], Exception]) -> None:
    async def ask() -> bool:
        raise failure()

    assert not await answers(ask)
