"""Ingestion beside other ingestions and beside a withdrawal."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.emotions.events import IncomingEvent, Verdict
from tests.builders import Database, a_client, a_consent, a_user, withdraw
from tests.integration.readings import a_pair, an_event, ingest, ingest_unvouched, row_of, stored

WRITERS = 8
EVENTS = 200
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def until_waiting(plain: Any, writers: int) -> None:
    async with asyncio.timeout(10):
        while await plain.fetchval(WAITING) < writers:  # noqa: ASYNC110  (the server's locks)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def written_meanwhile(
    ecs: Application, plain: Any, item: IncomingEvent, *late: IncomingEvent
) -> AsyncIterator[list["asyncio.Task[list[Verdict]]"]]:
    """Let ``late`` wait for a transaction that wrote ``item`` and commits at the end."""
    async with ecs.emotions.unit_of_work() as uow:
        assert await uow.emotions.ingest([item]) == {0: Verdict.ACCEPTED}
        tasks = [asyncio.create_task(ingest(ecs, event)) for event in late]
        await until_waiting(plain, len(late))
        yield tasks
        await uow.commit()


async def test_rows_are_written_in_the_order_of_their_keys(
    ecs: Application, database: Database, owner: Any
) -> None:
    """Batches that take their locks in one order cannot deadlock."""
    pairs = [await a_pair(database) for _ in range(3)]
    await ingest(ecs, *(an_event(*pairs[number % 3]) for number in range(EVENTS)))
    rows = await owner.fetch("SELECT client_id, event_id FROM emotional_events ORDER BY ctid")
    assert [tuple(row) for row in rows] == sorted(tuple(row) for row in rows)


async def test_crossing_writers_store_each_event_exactly_once(
    ecs: Application, database: Database, owner: Any
) -> None:
    pairs = [await a_pair(database) for _ in range(3)]
    items = [an_event(*pairs[number % 3]) for number in range(EVENTS)]
    shuffled = [random.sample(items, EVENTS) for _ in range(WRITERS)]
    answers = await asyncio.gather(
        *(
            (ingest if number % 2 else ingest_unvouched)(ecs, *batch)
            for number, batch in enumerate(shuffled)
        )
    )
    verdicts = [
        (item.event_id, verdict)
        for batch, answer in zip(shuffled, answers, strict=True)
        for item, verdict in zip(batch, answer, strict=True)
    ]
    accepted = Counter(event_id for event_id, verdict in verdicts if verdict == "accepted")
    assert accepted == {item.event_id: 1 for item in items}
    assert Counter(verdict for _, verdict in verdicts) == {
        Verdict.ACCEPTED: EVENTS,
        Verdict.DUPLICATE: EVENTS * (WRITERS - 1),
    }
    assert set(await stored(owner)) == {row_of(item) for item in items}


async def test_of_crossing_contents_of_one_id_one_is_kept(
    ecs: Application, database: Database, owner: Any
) -> None:
    pair = await a_pair(database)
    items = [an_event(*pair) for _ in range(50)]
    versions = [
        [replace(item, valence=number / WRITERS) for item in items] for number in range(WRITERS)
    ]
    answers = await asyncio.gather(
        *(ingest(ecs, *random.sample(version, len(items))) for version in versions)
    )
    assert Counter(verdict for answer in answers for verdict in answer) == {
        Verdict.ACCEPTED: len(items),
        Verdict.ID_CONFLICT: len(items) * (WRITERS - 1),
    }
    assert {row[1] for row in await stored(owner)} == {item.event_id for item in items}


async def test_a_batch_that_waited_sees_what_was_stored_meanwhile(
    ecs: Application, database: Database, owner: Any, plain: Any
) -> None:
    """The other batch commits after this one's snapshot was taken."""
    item = an_event(*await a_pair(database))
    changed = replace(item, valence=0.1)
    async with written_meanwhile(ecs, plain, item, item, changed) as tasks:
        pass
    same, other = await asyncio.gather(*tasks)
    assert (same, other) == ([Verdict.DUPLICATE], [Verdict.ID_CONFLICT])
    assert set(await stored(owner)) == {row_of(item)}


async def test_what_a_batch_waited_for_does_not_touch_its_other_items(
    ecs: Application, database: Database, owner: Any, plain: Any
) -> None:
    pair = await a_pair(database)
    item, own = an_event(*pair), an_event(*pair)
    async with ecs.emotions.unit_of_work() as uow:
        await uow.emotions.ingest([item])
        waiting = asyncio.create_task(ingest(ecs, own, item, own, item))
        await until_waiting(plain, 1)
        await uow.commit()
    assert await waiting == ["accepted", "duplicate", "duplicate", "duplicate"]
    assert set(await stored(owner)) == {row_of(item), row_of(own)}


async def test_a_batch_that_waited_for_nothing_writes_itself(
    ecs: Application, database: Database, owner: Any, plain: Any
) -> None:
    item = an_event(*await a_pair(database))
    async with ecs.emotions.unit_of_work() as uow:
        await uow.emotions.ingest([item])
        waiting = asyncio.create_task(ingest(ecs, item))
        await until_waiting(plain, 1)
    assert await waiting == [Verdict.ACCEPTED]
    assert set(await stored(owner)) == {row_of(item)}


@pytest.fixture
async def consented(database: Database) -> tuple[UUID, UUID, UUID]:
    """A person, a client, and the consent between them."""
    user_id, client_id = await a_user(database), await a_client(database)
    return user_id, client_id, await a_consent(database, user_id, client_id)


async def test_a_batch_that_waited_knows_of_a_withdrawal_meanwhile(
    ecs: Application,
    database: Database,
    owner: Any,
    plain: Any,
    consented: tuple[UUID, UUID, UUID],
) -> None:
    user_id, client_id, consent_id = consented
    item = an_event(user_id, client_id)
    async with written_meanwhile(ecs, plain, item, item) as tasks:
        await withdraw(database, user_id, client_id, consent_id=consent_id)
    assert await tasks[0] == [Verdict.CONSENT_MISSING]
    assert set(await stored(owner)) == {row_of(item)}


async def test_nothing_that_begins_after_a_withdrawal_is_stored(
    ecs: Application, database: Database, owner: Any, consented: tuple[UUID, UUID, UUID]
) -> None:
    user_id, client_id, consent_id = consented
    withdrawn = asyncio.Event()
    first_stored = asyncio.Event()
    late: list[Verdict] = []
    rows: set[tuple[Any, ...]] = set()

    async def send_for_ever() -> None:
        while not late:
            item, is_late = an_event(user_id, client_id), withdrawn.is_set()
            [verdict] = await ingest(ecs, item)
            if verdict is Verdict.ACCEPTED:
                rows.add(row_of(item))
                first_stored.set()
            if is_late:
                late.append(verdict)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(send_for_ever())
        await first_stored.wait()
        await withdraw(database, user_id, client_id, consent_id=consent_id)
        withdrawn.set()
    assert set(late) == {Verdict.CONSENT_MISSING}
    assert set(await stored(owner)) == rows


async def test_a_person_who_is_just_being_forgotten_harms_nobody_in_the_batch(
    ecs: Application, operator: Application, database: Database, owner: Any, plain: Any
) -> None:
    (gone, client_id), (stays, other_client_id) = await a_pair(database), await a_pair(database)
    batch = [an_event(gone, client_id), an_event(stays, other_client_id)]
    async with operator.maintenance.unit_of_work() as uow:
        await uow.maintenance.forget_user(gone, pseudonym=uuid4())
        task = asyncio.create_task(ingest(ecs, *batch))
        await until_waiting(plain, 1)
        await uow.commit()
    assert await task == [Verdict.UNKNOWN_USER, Verdict.ACCEPTED]
    assert await stored(owner) == Counter([row_of(batch[1])])
