"""What waits while nobody works: seen at the port of a process that does none of the work."""

import asyncio
import urllib.request
from typing import Final

import pytest

from ecs.domain.streams import EMOTIONS
from tests.e2e.emotions_support import CONSUMER, an_event, devices_of
from tests.e2e.support import Outside, stopped, until
from tests.exposition import samples

RELAY: Final = "outbox-relay"
DESTINATION: Final = "rq:accounts"
EVENTS: Final = 3
LAG_SECONDS: Final = 8


@pytest.mark.timeout(180)
async def test_what_waits_is_seen_while_the_workers_are_dead_and_until_it_is_done(
    ecs: Outside,
) -> None:
    person, offer_id = await ecs.an_offer()
    with devices_of(ecs) as devices:
        await devices.consenting(person)
        async with stopped(ecs, RELAY, CONSUMER):
            job_id = await ecs.accepted_job(person, offer_id)
            devices.publish(*(an_event(person) for _ in range(EVENTS)))
            await _shows(
                ecs, "ecs_outbox_lag_seconds", at_least=LAG_SECONDS, destination=DESTINATION
            )
            await _shows(ecs, "ecs_outbox_waiting", at_least=1, destination=DESTINATION)
            await _shows(
                ecs, "ecs_jobs_unfinished", at_least=1, kind="open_account", status="queued"
            )
            await _shows(ecs, "ecs_queue_messages", at_least=EVENTS, queue=EMOTIONS.queue)
            await _shows(ecs, "ecs_queue_consumers", at_most=0, queue=EMOTIONS.queue)
        await ecs.assert_opened(person, offer_id, job_id)
        await _shows(ecs, "ecs_outbox_lag_seconds", at_most=0, destination=DESTINATION)
        await _shows(ecs, "ecs_jobs_oldest_unfinished_seconds", at_most=0, kind="open_account")
        await _shows(ecs, "ecs_queue_messages", at_most=0, queue=EMOTIONS.queue)
        await _shows(ecs, "ecs_queue_consumers", at_least=1, queue=EMOTIONS.queue)
    for source in ("postgresql", "rabbitmq"):
        await _shows(ecs, "ecs_backlog_up", at_least=1, source=source)


async def _shows(
    ecs: Outside,
    name: str,
    *,
    at_least: float = 0,
    at_most: float = float("inf"),
    **labels: str,
) -> None:
    """Wait until the next looks show it; the process looks every five seconds."""
    series = name, frozenset(labels.items())

    async def is_shown() -> bool:
        shown = samples(await asyncio.to_thread(_read, ecs.stack.layout.ports["backlog"]))
        return at_least <= shown[series] <= at_most

    await until(is_shown, what=f"{name} of {labels}")


def _read(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        content: bytes = answer.read()
        return content
