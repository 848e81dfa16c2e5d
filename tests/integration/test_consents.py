"""The ledger of consents: what it says, who may write it, and who wins."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs.bootstrap import Application
from ecs.domain.consents import Consent, ConsentStatus, Purpose, find_text
from ecs.services.exceptions import Busy, ClientNotFound, ConsentTextNotFound, PurposeNotFound
from tests.builders import Database, a_client, a_user

EMOTION: Final = Purpose.EMOTION_CREDIT_DECISION


async def grant(
    ecs: Application, user_id: UUID, client_id: UUID, *, locale: str = "en"
) -> tuple[Consent, bool]:
    return await ecs.consents.grant(
        user_id=user_id,
        purpose=EMOTION,
        client_id=client_id,
        locale=locale,
        request_id="req-grant",
    )


async def withdraw(ecs: Application, user_id: UUID, client_id: UUID | None = None) -> int:
    return await ecs.consents.withdraw(
        user_id=user_id, purpose=EMOTION, client_id=client_id, request_id="req-withdraw"
    )


async def ledger(owner: Any) -> Sequence[Any]:
    return list(await owner.fetch("SELECT * FROM consent_changes ORDER BY client_id, revision"))


async def assert_sound(ecs: Application, owner: Any, user_id: UUID) -> None:
    """Grants and withdrawals take turns, without a gap, and time does not run backwards."""
    changes = await owner.fetch(
        "SELECT array_agg(revision ORDER BY revision) AS revisions,"
        " array_agg(changed_at ORDER BY revision) AS instants,"
        " array_agg(consent_id ORDER BY revision) AS consents"
        " FROM consent_changes GROUP BY user_id, purpose, client_id"
    )
    for change in changes:
        assert change["revisions"] == list(range(1, len(change["revisions"]) + 1))
        assert change["instants"] == sorted(change["instants"])
        assert change["consents"][::2][: len(change["consents"]) // 2] == change["consents"][1::2]
    standing = sum(len(change["revisions"]) % 2 for change in changes)
    assert len(await ecs.consents.list_active(user_id)) == standing


class TestGrant:
    async def test_writes_down_who_agreed_to_which_words(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        consent, created = await grant(ecs, user_id, client_id, locale="pt-BR")
        words = find_text(EMOTION, locale="pt-BR")
        (row,) = await ledger(owner)
        assert words is not None
        assert created
        assert (consent.purpose, consent.client_id) == (EMOTION, client_id)
        assert (consent.locale, consent.text_version) == ("pt-BR", words.version)
        assert (consent.text_sha256, consent.status) == (words.sha256, ConsentStatus.ACTIVE)
        assert (row["id"], row["consent_id"], row["revision"]) == (consent.id, consent.id, 1)
        assert (row["user_id"], row["client_id"]) == (user_id, client_id)
        assert (row["text_sha256"], row["request_id"]) == (words.sha256, "req-grant")
        assert row["changed_at"] == consent.granted_at
        assert consent.id.version == 7

    async def test_a_second_one_changes_nothing(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        first, _ = await grant(ecs, user_id, client_id)
        second, created = await grant(ecs, user_id, client_id, locale="pt-BR")
        assert (second, created) == (first, False)
        assert len(await ledger(owner)) == 1

    async def test_after_a_withdrawal_it_is_a_new_consent(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        first, _ = await grant(ecs, user_id, client_id)
        await withdraw(ecs, user_id)
        second, created = await grant(ecs, user_id, client_id)
        assert created
        assert second.id != first.id
        assert await ecs.consents.list_active(user_id) == [second]
        assert [row["consent_id"] for row in await ledger(owner)] == [
            *(first.id, first.id, second.id)
        ]
        await assert_sound(ecs, owner, user_id)

    async def test_knows_only_clients_that_may_work(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        await grant(ecs, user_id, client_id)
        await withdraw(ecs, user_id)
        await owner.execute("UPDATE clients SET disabled_at = now()")
        for unknown in (uuid4(), client_id):
            with pytest.raises(ClientNotFound):
                await grant(ecs, user_id, unknown)
        assert len(await ledger(owner)) == 2

    async def test_is_not_written_for_somebody_who_is_gone(
        self, ecs: Application, owner: Any, client_id: UUID
    ) -> None:
        with pytest.raises(Busy):
            await grant(ecs, uuid4(), client_id)
        assert await ledger(owner) == []

    async def test_needs_words_that_exist(
        self, ecs: Application, user_id: UUID, client_id: UUID
    ) -> None:
        with pytest.raises(ConsentTextNotFound):
            await grant(ecs, user_id, client_id, locale="de")
        with pytest.raises(PurposeNotFound):
            ecs.consents.get_purpose("emotion.advertising")


class TestWithdraw:
    async def test_ends_the_consent_of_one_client(
        self, ecs: Application, database: Database, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        ended, _ = await grant(ecs, user_id, client_id)
        other, _ = await grant(ecs, user_id, await a_client(database))
        assert await withdraw(ecs, user_id, client_id) == 1
        assert await ecs.consents.list_active(user_id) == [other]
        newest, oldest = await ecs.consents.list_consents(user_id)
        assert (newest, oldest.id) == (other, ended.id)
        assert oldest.status is ConsentStatus.WITHDRAWN
        assert oldest.withdrawn_at is not None
        assert oldest.granted_at <= oldest.withdrawn_at
        (row,) = [row for row in await ledger(owner) if row["revision"] == 2]
        assert (row["consent_id"], row["request_id"]) == (ended.id, "req-withdraw")
        assert row["text_sha256"] is None

    async def test_ends_the_consents_of_every_client_and_of_nobody_else(
        self, ecs: Application, database: Database, owner: Any, user_id: UUID
    ) -> None:
        neighbour = await a_user(database)
        for client_id in [await a_client(database) for _ in range(3)]:
            await grant(ecs, user_id, client_id)
            await grant(ecs, neighbour, client_id)
        assert await withdraw(ecs, user_id) == 3
        assert await ecs.consents.list_active(user_id) == []
        assert len(await ecs.consents.list_active(neighbour)) == 3
        assert {row["user_id"] for row in await ledger(owner) if row["revision"] == 2} == {user_id}

    async def test_twice_is_once(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        await grant(ecs, user_id, client_id)
        assert [await withdraw(ecs, user_id) for _ in range(3)] == [1, 0, 0]
        assert [row["revision"] for row in await ledger(owner)] == [1, 2]

    async def test_of_nothing_is_nothing(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        assert await withdraw(ecs, user_id) == 0
        assert await withdraw(ecs, user_id, client_id) == 0
        assert await withdraw(ecs, user_id, uuid4()) == 0
        assert await ledger(owner) == []


class TestList:
    async def test_shows_the_newest_thousand(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        await owner.execute(
            "INSERT INTO consent_changes (id, consent_id, user_id, client_id, purpose, revision,"
            " locale, text_version, text_sha256, changed_at) SELECT id, id, $1, $2,"
            " 'emotion.credit_decision', 2 * n - 1, 'en', '1.0.0', '', now() + n * interval '1 s'"
            " FROM (SELECT n, gen_random_uuid() AS id FROM generate_series(1, 1001) AS n) AS made",
            user_id,
            client_id,
        )
        instants = [consent.granted_at for consent in await ecs.consents.list_consents(user_id)]
        assert len(instants) == 1000
        assert instants == sorted(instants, reverse=True)
        assert instants[0] == await owner.fetchval("SELECT max(changed_at) FROM consent_changes")


class TestRaces:
    async def test_of_forty_grants_one_is_new(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        answers = await asyncio.gather(*(grant(ecs, user_id, client_id) for _ in range(40)))
        assert sorted(created for _, created in answers) == [False] * 39 + [True]
        assert len({consent.id for consent, _ in answers}) == 1
        assert len(await ledger(owner)) == 1

    async def test_of_twenty_withdrawals_one_counts(
        self, ecs: Application, database: Database, owner: Any, user_id: UUID
    ) -> None:
        for client_id in [await a_client(database) for _ in range(5)]:
            await grant(ecs, user_id, client_id)
        ended = await asyncio.gather(*(withdraw(ecs, user_id) for _ in range(20)))
        assert sum(ended) == 5
        assert len(await ledger(owner)) == 10
        await assert_sound(ecs, owner, user_id)

    async def test_grants_and_withdrawals_at_once_take_turns(
        self, ecs: Application, database: Database, owner: Any, user_id: UUID
    ) -> None:
        clients = [await a_client(database) for _ in range(2)]
        for _ in range(5):
            given, *_ = await asyncio.gather(
                asyncio.gather(*(grant(ecs, user_id, clients[turn % 2]) for turn in range(20))),
                asyncio.gather(*(withdraw(ecs, user_id, clients[turn % 2]) for turn in range(10))),
                asyncio.gather(*(withdraw(ecs, user_id) for _ in range(10))),
            )
            assert {consent.status for consent, _ in given} == {ConsentStatus.ACTIVE}
            await assert_sound(ecs, owner, user_id)

    async def test_a_grant_that_waited_for_another_finds_it(
        self, ecs: Application, owner: Any, plain: Any, user_id: UUID, client_id: UUID
    ) -> None:
        words = find_text(EMOTION, locale="en")
        assert words is not None
        async with ecs.consents.unit_of_work() as uow:
            won = await uow.consents.grant(
                uuid4(), words, user_id=user_id, client_id=client_id, request_id=None
            )
            late = asyncio.create_task(grant(ecs, user_id, client_id))
            await somebody_waits(plain)
            await uow.commit()
        assert await late == (won, False)

    async def test_a_transaction_that_began_earlier_does_not_turn_back_time(
        self, ecs: Application, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        words = find_text(EMOTION, locale="en")
        assert words is not None
        async with ecs.consents.unit_of_work() as uow:
            assert await uow.consents.list_active(user_id) == []
            await grant(ecs, user_id, client_id)
            await withdraw(ecs, user_id)
            late = await uow.consents.grant(
                uuid4(), words, user_id=user_id, client_id=client_id, request_id=None
            )
            assert late is not None
            await uow.commit()
        assert (await ecs.consents.list_consents(user_id))[0] == late
        await assert_sound(ecs, owner, user_id)

    async def test_nobody_is_forgotten_between_the_check_and_the_row(
        self,
        ecs: Application,
        operator: Application,
        owner: Any,
        user_id: UUID,
        client_id: UUID,
    ) -> None:
        words = find_text(EMOTION, locale="en")
        assert words is not None
        async with ecs.consents.unit_of_work() as uow:
            await uow.consents.grant(
                uuid4(), words, user_id=user_id, client_id=client_id, request_id="req-grant"
            )
            forgetting = asyncio.create_task(
                operator.maintenance.forget_user(email=f"{user_id}@example.com")
            )
            await somebody_waits(owner)
            await uow.commit()
        await forgetting
        (row,) = await ledger(owner)
        assert row["user_id"] != user_id
        assert row["request_id"] is None


class TestLaws:
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        steps=st.lists(
            st.tuples(st.sampled_from(["grant", "withdraw"]), st.integers(0, 2)), max_size=12
        )
    )
    async def test_what_stands_is_what_the_last_word_on_it_said(
        self, ecs: Application, database: Database, owner: Any, steps: list[tuple[str, int]]
    ) -> None:
        user_id = await a_user(database)
        clients = [await a_client(database) for _ in range(2)]
        standing: set[UUID] = set()
        for word, which in steps:
            chosen = clients[which] if which < 2 else None
            if word == "grant":
                _, created = await grant(ecs, user_id, chosen or clients[0])
                assert created == ((chosen or clients[0]) not in standing)
                standing.add(chosen or clients[0])
            else:
                meant = standing & {chosen} if chosen else set(standing)
                assert await withdraw(ecs, user_id, chosen) == len(meant)
                standing -= meant
        active = await ecs.consents.list_active(user_id)
        assert {consent.client_id for consent in active} == standing
        await owner.execute("DELETE FROM consent_changes WHERE user_id <> $1", user_id)
        await assert_sound(ecs, owner, user_id)


async def somebody_waits(colleague: Any) -> None:
    """Return once a connection of the same role waits for a lock of another transaction."""
    async with asyncio.timeout(10):
        while not await colleague.fetchval(  # noqa: ASYNC110  (the server's locks)
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)


async def test_what_stands_is_listed_however_long_the_history_is(
    ecs: Application, database: Database, user_id: UUID, client_id: UUID
) -> None:
    standing, _ = await grant(ecs, user_id, client_id)
    fickle = await a_client(database)
    for _ in range(3):
        await grant(ecs, user_id, fickle)
        await withdraw(ecs, user_id, fickle)
    async with ecs.consents.unit_of_work() as uow:
        listed = await uow.consents.list_consents(user_id, limit=2)
    assert listed[0] == standing
    assert [consent.status for consent in listed] == [
        ConsentStatus.ACTIVE,
        ConsentStatus.WITHDRAWN,
    ]
