"""The decision service: one decision for each application, never backwards."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.prequalification.pipeline import Verdict
from ecs.services.prequalification_decisions_service import PrequalificationDecisionsService
from tests.builders import Database, connected
from tests.integration.pipeline_support import a_notice, an_application, state_of, states_of
from tests.statements import COMMIT, statement_log


@pytest.fixture
def decisions(ecs: Application) -> PrequalificationDecisionsService:
    return ecs.prequalification_decisions


class TestDecide:
    @pytest.mark.parametrize(
        ("score", "income", "loan", "status", "max_approved"),
        [
            pytest.param(649, 50_000_00, 500_000_00, "REJECTED", None, id="a low score"),
            pytest.param(700, 25_000_00, 1_200_000_00, "MANUAL_REVIEW", None, id="equality"),
            pytest.param(750, 50_000_00, 2_000_000_00, "PRE_APPROVED", 2_400_000_00, id="enough"),
            pytest.param(650, 25_000_01, 1_200_000_00, "PRE_APPROVED", 1_200_000_48, id="a paisa"),
        ],
    )
    async def test_moves_the_application_by_its_report(  # noqa: PLR0913, PLR0917  (a row of the table)
        self,
        decisions: PrequalificationDecisionsService,
        owner: Any,
        user_id: UUID,
        score: int,
        income: int,
        loan: int,
        status: str,
        max_approved: int | None,
    ) -> None:
        application_id = await an_application(owner, user_id, score=score, income=income, loan=loan)
        notice = a_notice(application_id)
        assert await decisions.decide([notice]) == {notice: Verdict.DONE}
        state = await state_of(owner, application_id)
        assert (state.status, state.version) == (status, 2)
        assert state.max_approved_minor == max_approved
        assert state.history == ["PENDING", status]

    async def test_stores_why_and_by_which_policy_and_for_which_request(
        self, decisions: PrequalificationDecisionsService, owner: Any, user_id: UUID
    ) -> None:
        application_id = await an_application(owner, user_id, score=649)
        await decisions.decide([a_notice(application_id)])
        row = await owner.fetchrow("SELECT * FROM prequalification_applications")
        assert row["policy"] == "prequalification-1.0.0"
        assert row["decision_reason"] == "The credit score of 649 is below the minimum of 650."
        change = await owner.fetchrow(
            "SELECT * FROM prequalification_status_changes WHERE version = 2"
        )
        assert (change["request_id"], change["reviewed_by"]) == ("req-submit", None)
        assert change["at"] == row["updated_at"] > row["created_at"]

    async def test_of_a_batch_takes_as_many_statements_as_of_one(
        self, decisions: PrequalificationDecisionsService, owner: Any, user_id: UUID
    ) -> None:
        await decisions.decide([a_notice(await an_application(owner, user_id, score=700))])
        counts = []
        for size in (1, 60):
            ids = [await an_application(owner, user_id, score=700) for _ in range(size)]
            with statement_log() as told:
                await decisions.decide([a_notice(one) for one in ids])
            counts.append((len(told), told.count(COMMIT)))
            assert {state.version for state in await states_of(owner, ids)} == {2}
        assert counts[0] == counts[1]
        assert counts[0][1] == 1

    async def test_does_nothing_for_repeated_messages(
        self, decisions: PrequalificationDecisionsService, owner: Any, user_id: UUID
    ) -> None:
        application_id = await an_application(owner, user_id, score=700)
        first, second = a_notice(application_id), a_notice(application_id)
        for batch in ([first, first, second], [second], [first]):
            assert set((await decisions.decide(batch)).values()) == {Verdict.DONE}
        state = await state_of(owner, application_id)
        assert (state.version, len(state.history)) == (2, 2)

    async def test_never_undoes_what_an_officer_decided(
        self, decisions: PrequalificationDecisionsService, owner: Any, user_id: UUID
    ) -> None:
        application_id = await an_application(
            owner, user_id, score=700, income=25_000_00, loan=1_200_000_00
        )
        notice = a_notice(application_id)
        await decisions.decide([notice])
        await owner.execute(
            "UPDATE prequalification_applications SET status = 'REJECTED', version = 3"
        )
        late = a_notice(application_id)
        assert await decisions.decide([notice, late]) == dict.fromkeys((notice, late), Verdict.DONE)
        state = await state_of(owner, application_id)
        assert (state.status, state.version) == ("REJECTED", 3)


class TestUnusableMessages:
    async def test_are_dead_beside_good_ones(
        self, decisions: PrequalificationDecisionsService, owner: Any, user_id: UUID
    ) -> None:
        good = await an_application(owner, user_id, score=700)
        unreported = await an_application(owner, user_id)
        notices = [a_notice(one) for one in (uuid4(), good, unreported)]
        assert list((await decisions.decide(notices)).values()) == [
            Verdict.UNKNOWN_APPLICATION,
            Verdict.DONE,
            Verdict.REPORT_MISSING,
        ]
        states = await states_of(owner, [good, unreported])
        assert [state.version for state in states] == [2, 1]

    async def test_may_come_again_when_the_report_is_there(
        self, decisions: PrequalificationDecisionsService, owner: Any, user_id: UUID
    ) -> None:
        application_id = await an_application(owner, user_id)
        notice = a_notice(application_id)
        assert await decisions.decide([notice]) == {notice: Verdict.REPORT_MISSING}
        await owner.execute(
            "INSERT INTO credit_reports (application_id, cibil_score, bureau)"
            " VALUES ($1, 700, 'script')",
            application_id,
        )
        assert await decisions.decide([notice]) == {notice: Verdict.DONE}
        assert (await state_of(owner, application_id)).version == 2


class TestRace:
    async def test_of_workers_with_the_same_messages_has_one_effect(
        self, decisions: PrequalificationDecisionsService, owner: Any, user_id: UUID
    ) -> None:
        ids = [await an_application(owner, user_id, score=700) for _ in range(40)]
        notices = [a_notice(one) for one in ids]
        batches = [notices, notices[::-1], notices[20:] + notices[:20], notices]
        await asyncio.gather(*(decisions.decide(batch) for batch in batches))
        states = await states_of(owner, ids)
        assert {(state.version, len(state.history)) for state in states} == {(2, 2)}

    async def test_of_workers_with_other_messages_of_the_same_applications_has_one_effect(
        self, decisions: PrequalificationDecisionsService, owner: Any, user_id: UUID
    ) -> None:
        # Nothing they remember is the same: the version alone decides.
        ids = [await an_application(owner, user_id, score=700) for _ in range(40)]
        orders = (ids, ids[::-1], ids[20:] + ids[:20])
        await asyncio.gather(
            *(decisions.decide([a_notice(one) for one in order]) for order in orders)
        )
        states = await states_of(owner, ids)
        assert {(state.version, len(state.history)) for state in states} == {(2, 2)}

    async def test_with_somebody_who_moved_the_application_first_is_lost(
        self,
        decisions: PrequalificationDecisionsService,
        owner: Any,
        user_id: UUID,
        database: Database,
    ) -> None:
        application_id = await an_application(owner, user_id, score=700)
        async with connected(database.owner_url) as other:
            moving = other.transaction()
            await moving.start()
            await other.execute(
                "UPDATE prequalification_applications SET status = 'REJECTED', version = 2,"
                " decision_reason = 'first', policy = 'other'"
            )
            deciding = asyncio.create_task(decisions.decide([a_notice(application_id)]))
            await _until_somebody_waits(owner)
            await moving.commit()
            await deciding
        state = await state_of(owner, application_id)
        assert (state.status, state.version, state.history) == ("REJECTED", 2, ["PENDING"])

    async def test_with_a_rotation_of_its_ciphertext_is_won(
        self,
        decisions: PrequalificationDecisionsService,
        owner: Any,
        user_id: UUID,
        database: Database,
    ) -> None:
        # The row changes while the decision waits for it, and its version does not.
        ids = [await an_application(owner, user_id, score=700) for _ in range(3)]
        async with connected(database.owner_url) as other:
            rotating = other.transaction()
            await rotating.start()
            await other.execute("UPDATE prequalification_applications SET pan_ciphertext = 'new'")
            deciding = asyncio.create_task(decisions.decide([a_notice(one) for one in ids]))
            await _until_somebody_waits(owner)
            await rotating.commit()
            await deciding
        assert {state.version for state in await states_of(owner, ids)} == {2}


async def _until_somebody_waits(owner: Any) -> None:
    """Ask until a statement waits for a lock: nothing else tells."""
    waiting = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE NOT granted AND datname = current_database()"
    )
    async with asyncio.timeout(10):
        while not await owner.fetchval(waiting):  # noqa: ASYNC110  (PostgreSQL sets no event)
            await asyncio.sleep(0.01)
