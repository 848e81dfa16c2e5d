import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs.bootstrap import Application
from ecs.domain.transactions import IncomingTransaction, Verdict
from tests.builders import Database, a_client, a_user

Change = Callable[[IncomingTransaction], IncomingTransaction]
COLUMNS = "transaction_id, user_id, occurred_at, amount_minor, currency, category"
MINUTE = timedelta(minutes=1)
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def an_item(user_id: UUID, **changes: Any) -> IncomingTransaction:
    plain = IncomingTransaction(
        index=0,
        transaction_id=uuid4(),
        user_id=user_id,
        occurred_at=datetime.now(UTC) - timedelta(days=1),
        amount_minor=-1250,
        currency="BRL",
        category="groceries",
    )
    return replace(plain, **changes)


def batch(*items: IncomingTransaction) -> list[IncomingTransaction]:
    return [replace(item, index=index) for index, item in enumerate(items)]


async def ingest(ecs: Application, client_id: UUID, *items: IncomingTransaction) -> list[Verdict]:
    verdicts = await ecs.transactions.ingest(batch(*items), client_id=client_id)
    return [verdicts[index] for index in range(len(items))]


async def stored(owner: Any) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row) for row in await owner.fetch(f"SELECT {COLUMNS} FROM transactions"))


class TestVerdicts:
    @pytest.mark.parametrize(
        ("change", "verdict"),
        [
            pytest.param(lambda i: i, Verdict.ACCEPTED, id="sound"),
            pytest.param(lambda i: replace(i, category=None), Verdict.ACCEPTED, id="no-category"),
            pytest.param(
                lambda i: replace(i, amount_minor=99_999_999_999_999),
                Verdict.ACCEPTED,
                id="largest-amount",
            ),
            pytest.param(
                lambda i: replace(i, occurred_at=datetime.now(UTC) + 4 * MINUTE),
                Verdict.ACCEPTED,
                id="a-little-ahead",
            ),
            pytest.param(
                lambda i: replace(i, occurred_at=datetime.now(UTC) + 6 * MINUTE),
                Verdict.FUTURE_TIMESTAMP,
                id="too-far-ahead",
            ),
            pytest.param(
                lambda i: replace(i, occurred_at=datetime.now(UTC) - timedelta(days=729)),
                Verdict.ACCEPTED,
                id="nearly-two-years",
            ),
            pytest.param(
                lambda i: replace(i, occurred_at=datetime.now(UTC) - timedelta(days=731)),
                Verdict.TOO_OLD,
                id="over-two-years",
            ),
            pytest.param(
                lambda i: replace(i, currency="USD"), Verdict.CURRENCY_MISMATCH, id="currency"
            ),
            pytest.param(
                lambda i: replace(i, user_id=uuid4()), Verdict.UNKNOWN_USER, id="unknown-user"
            ),
        ],
    )
    async def test_each_item_is_judged(
        self,
        ecs: Application,
        owner: Any,
        user_id: UUID,
        client_id: UUID,
        change: Change,
        verdict: Verdict,
    ) -> None:
        assert await ingest(ecs, client_id, change(an_item(user_id))) == [verdict]
        assert (await stored(owner)).total() == (verdict is Verdict.ACCEPTED)

    async def test_bad_items_do_not_stop_good_ones(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        verdicts = await ingest(
            ecs,
            client_id,
            an_item(uuid4()),
            an_item(user_id),
            an_item(user_id, currency="EUR"),
            an_item(user_id),
        )
        assert verdicts == ["unknown_user", "accepted", "currency_mismatch", "accepted"]
        assert (await stored(owner)).total() == 2

    async def test_a_replay_is_all_duplicates_and_stores_nothing(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        items = [an_item(user_id) for _ in range(5)]
        assert set(await ingest(ecs, client_id, *items)) == {Verdict.ACCEPTED}
        before = await owner.fetch("SELECT * FROM transactions")
        assert set(await ingest(ecs, client_id, *reversed(items))) == {Verdict.DUPLICATE}
        assert await owner.fetch("SELECT * FROM transactions") == before

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda i: replace(i, amount_minor=-1251), id="amount"),
            pytest.param(lambda i: replace(i, category=None), id="category-gone"),
            pytest.param(lambda i: replace(i, category="dining"), id="category"),
            pytest.param(
                lambda i: replace(i, occurred_at=i.occurred_at + timedelta(microseconds=1)),
                id="moment",
            ),
        ],
    )
    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
    async def test_the_same_id_with_other_content_is_a_conflict(
        self,
        ecs: Application,
        owner: Any,
        user_id: UUID,
        client_id: UUID,
        *,
        change: Change,
        together: bool,
    ) -> None:
        item = an_item(user_id)
        if together:
            verdicts = await ingest(ecs, client_id, item, change(item))
        else:
            verdicts = [
                *await ingest(ecs, client_id, item),
                *await ingest(ecs, client_id, change(item)),
            ]
        assert verdicts == [Verdict.ACCEPTED, Verdict.ID_CONFLICT]
        rows = await stored(owner)
        assert [row[3] for row in rows] == [item.amount_minor]

    async def test_the_same_moment_in_another_zone_is_the_same_content(
        self, ecs: Application, user_id: UUID, client_id: UUID
    ) -> None:
        item = an_item(user_id)
        moved = item.occurred_at.astimezone(datetime.now().astimezone().tzinfo)
        verdicts = await ingest(ecs, client_id, item, replace(item, occurred_at=moved))
        assert verdicts == [Verdict.ACCEPTED, Verdict.DUPLICATE]

    async def test_of_many_equal_ids_the_first_wins(
        self, ecs: Application, user_id: UUID, client_id: UUID
    ) -> None:
        item = an_item(user_id)
        other = replace(item, amount_minor=1)
        verdicts = await ingest(ecs, client_id, item, other, item, other)
        assert verdicts == ["accepted", "id_conflict", "duplicate", "id_conflict"]

    async def test_an_unknown_person_first_does_not_poison_the_id(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        item = an_item(user_id)
        stranger = replace(item, user_id=uuid4())
        verdicts = await ingest(ecs, client_id, stranger, item, item)
        assert verdicts == ["unknown_user", "accepted", "duplicate"]
        assert {row[1] for row in await stored(owner)} == {user_id}

    async def test_two_clients_may_use_the_same_id(
        self, ecs: Application, database: Database, user_id: UUID, client_id: UUID
    ) -> None:
        item = an_item(user_id)
        assert await ingest(ecs, client_id, item) == [Verdict.ACCEPTED]
        assert await ingest(ecs, await a_client(database), item) == [Verdict.ACCEPTED]

    async def test_a_thousand_items_are_stored_at_once(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        verdicts = await ingest(ecs, client_id, *(an_item(user_id) for _ in range(1000)))
        assert set(verdicts) == {Verdict.ACCEPTED}
        writers = await owner.fetch("SELECT DISTINCT xmin::text FROM transactions")
        assert len(writers) == 1


class TestRaces:
    async def test_batches_in_opposite_order_do_not_deadlock(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        items = [an_item(user_id) for _ in range(300)]
        for _ in range(3):
            answers = await asyncio.gather(
                ingest(ecs, client_id, *items),
                ingest(ecs, client_id, *reversed(items)),
                ingest(ecs, client_id, *random.sample(items, len(items))),
            )
            await owner.execute("DELETE FROM transactions")
            counted = Counter(verdict for answer in answers for verdict in answer)
            assert counted == {Verdict.ACCEPTED: 300, Verdict.DUPLICATE: 600}

    async def test_a_batch_that_waited_sees_what_was_stored_meanwhile(
        self, ecs: Application, owner: Any, plain: Any, user_id: UUID, client_id: UUID
    ) -> None:
        """The other batch commits after this one's snapshot was taken."""
        item = an_item(user_id)
        changed = replace(item, amount_minor=7)
        async with ecs.transactions.unit_of_work() as uow:
            await uow.transactions.ingest([item], client_id=client_id, ids=[uuid4()])
            same, other = (
                asyncio.create_task(ingest(ecs, client_id, late)) for late in (item, changed)
            )
            async with asyncio.timeout(10):
                while await plain.fetchval(WAITING) < 2:  # noqa: ASYNC110  (the server's locks)
                    await asyncio.sleep(0.01)
            await uow.commit()
        assert await same == [Verdict.DUPLICATE]
        assert await other == [Verdict.ID_CONFLICT]
        assert (await stored(owner)).total() == 1


class TestLaws:
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.data(), amounts=st.lists(st.integers(1, 5), min_size=1, max_size=12))
    async def test_any_order_and_any_cut_of_a_batch_stores_the_same_rows(
        self,
        ecs: Application,
        owner: Any,
        user_id: UUID,
        client_id: UUID,
        data: st.DataObject,
        amounts: list[int],
    ) -> None:
        moment = datetime.now(UTC) - timedelta(days=1)
        items = [an_item(user_id, amount_minor=a, occurred_at=moment) for a in amounts]
        items += items[: len(items) // 2]  # Some come twice.
        await ingest(ecs, client_id, *items)
        whole = await stored(owner)
        await owner.execute("DELETE FROM transactions")
        shuffled = data.draw(st.permutations(items))
        cut = data.draw(st.integers(0, len(items)))
        verdicts = [
            verdict
            for part in (shuffled[:cut], shuffled[cut:])
            for verdict in await ingest(ecs, client_id, *part)
        ]
        assert await stored(owner) == whole
        await owner.execute("DELETE FROM transactions")
        assert verdicts.count(Verdict.ACCEPTED) == len(amounts)
        assert set(verdicts) <= {Verdict.ACCEPTED, Verdict.DUPLICATE}


async def test_a_person_who_is_just_being_forgotten_harms_nobody_in_the_batch(
    ecs: Application,
    operator: Application,
    database: Database,
    plain: Any,
    user_id: UUID,
    client_id: UUID,
) -> None:
    gone = await a_user(database)
    async with operator.maintenance.unit_of_work() as uow:
        await uow.maintenance.forget_user(gone, pseudonym=uuid4())
        task = asyncio.create_task(ingest(ecs, client_id, an_item(gone), an_item(user_id)))
        async with asyncio.timeout(10):
            while not await plain.fetchval(WAITING):  # noqa: ASYNC110  (the server's locks)
                await asyncio.sleep(0.01)
        await uow.commit()
    assert await task == [Verdict.UNKNOWN_USER, Verdict.ACCEPTED]
