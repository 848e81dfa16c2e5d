"""The credit service: one report for each application, no decryption unseen, nothing lost."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from ecs.bootstrap import Application
from ecs.domain.prequalification.application import CreditEnquiry, LoanType
from ecs.domain.prequalification.pan import Pan
from ecs.domain.prequalification.pipeline import Verdict
from ecs.integrations.exceptions import BureauUnavailable
from ecs.integrations.pan_cipher import AesGcmPanCipher
from ecs.services.credit_reports_service import CreditReportsService
from tests.builders import Database, connected
from tests.integration.pipeline_support import (
    CIPHER,
    KEYRING,
    PAN,
    SCORE,
    Asked,
    BreakingUnits,
    Broken,
    a_submission,
    an_application,
    reports_of,
    state_of,
    states_of,
)
from tests.statements import COMMIT, statement_log

NEWER = AesGcmPanCipher({"2": bytes(range(1, 33))}, "2")


@pytest.fixture
def bureau() -> Asked:
    return Asked()


@pytest.fixture
def reports(ecs: Application, bureau: Asked) -> CreditReportsService:
    return reports_of(ecs, bureau)


@pytest.fixture
def submitted(owner: Any, user_id: UUID) -> Callable[..., Awaitable[Any]]:
    """Store an application and return the message that tells of it."""

    async def submit(**changes: Any) -> Any:
        return await a_submission(owner, await an_application(owner, user_id, **changes))

    return submit


class TestReport:
    async def test_stores_the_score_and_says_so(
        self, reports: CreditReportsService, submitted: Any, owner: Any, user_id: UUID
    ) -> None:
        message = await submitted()
        assert await reports.report([message]) == {message: Verdict.DONE}
        state = await state_of(owner, message.application_id)
        assert (state.status, state.version, state.cibil_score) == ("PENDING", 1, SCORE)
        assert (state.events, state.decryptions) == (1, 1)
        event = await owner.fetchrow("SELECT * FROM outbox_events")
        assert event["name"] == "prequalification.credit-report-generated"
        assert event["destination"] == "amqp:ecs.domain"
        assert event["request_id"] == "req-submit"
        assert str(user_id) in event["payload"]
        assert await owner.fetchval("SELECT bureau FROM credit_reports") == "script"

    async def test_asks_by_what_is_stored(
        self, reports: CreditReportsService, submitted: Any, bureau: Asked
    ) -> None:
        message = await submitted(income=12_345_67, loan_type="HOME")
        await reports.report([message])
        assert bureau.enquiries == [
            CreditEnquiry(
                application_id=message.application_id,
                pan=Pan(PAN),
                monthly_income=bureau.enquiries[0].monthly_income,
                loan_type=LoanType.HOME,
            )
        ]
        assert str(bureau.enquiries[0].monthly_income) == "12345.67"

    async def test_asks_the_simulation_unless_told_otherwise(
        self, ecs: Application, submitted: Any, owner: Any
    ) -> None:
        message = await submitted()
        assert await ecs.credit_reports.report([message]) == {message: Verdict.DONE}
        assert await owner.fetchval("SELECT bureau FROM credit_reports") == "simulation-1"

    async def test_notes_who_decrypted_for_which_request(
        self, reports: CreditReportsService, submitted: Any, owner: Any
    ) -> None:
        message = await submitted()
        await reports.report([message])
        [row] = await owner.fetch("SELECT * FROM audit_log")
        assert (row["actor"], row["service"], row["action"]) == (
            "system",
            "credit-report",
            "DECRYPT",
        )
        assert (row["application_id"], row["request_id"]) == (message.application_id, "req-submit")

    async def test_asks_only_when_everybody_can_see_that_it_decrypts(
        self, ecs: Application, submitted: Any, database: Database
    ) -> None:
        seen: list[int] = []

        async def look(enquiry: CreditEnquiry) -> None:
            async with connected(database.app_url) as other:
                seen.append(
                    await other.fetchval(
                        "SELECT count(*) FROM audit_log"
                        " WHERE application_id = $1 AND action = 'DECRYPT'",
                        enquiry.application_id,
                    )
                )

        messages = [await submitted() for _ in range(5)]
        await reports_of(ecs, Asked(look)).report(messages)
        assert seen == [1] * 5

    async def test_holds_no_transaction_while_the_bureau_answers(
        self, ecs: Application, submitted: Any, database: Database
    ) -> None:
        open_transactions: list[int] = []

        async def look(_: CreditEnquiry) -> None:
            async with connected(database.app_url) as other:
                open_transactions.append(
                    await other.fetchval(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND application_name = 'ecs-test' AND xact_start IS NOT NULL"
                    )
                )

        await reports_of(ecs, Asked(look)).report([await submitted()])
        assert open_transactions == [0]

    async def test_does_nothing_for_a_repeated_message(
        self, reports: CreditReportsService, submitted: Any, bureau: Asked, owner: Any
    ) -> None:
        message = await submitted()
        assert await reports.report([message, message]) == {message: Verdict.DONE}
        again = replace(message, event_id=uuid4())
        assert await reports.report([message, again]) == dict.fromkeys(
            (message, again), Verdict.DONE
        )
        state = await state_of(owner, message.application_id)
        assert (len(bureau.enquiries), state.decryptions, state.events) == (1, 1, 1)

    async def test_does_nothing_for_a_decided_application(
        self, reports: CreditReportsService, submitted: Any, bureau: Asked, owner: Any
    ) -> None:
        message = await submitted()
        await owner.execute(
            "UPDATE prequalification_applications"
            " SET status = 'REJECTED', decision_reason = 'because', policy = 'old'"
        )
        assert await reports.report([message]) == {message: Verdict.DONE}
        assert not bureau.enquiries
        assert (await state_of(owner, message.application_id)).decryptions == 0

    async def test_writes_a_batch_by_as_many_statements_as_one(
        self, reports: CreditReportsService, submitted: Any
    ) -> None:
        await reports.report([await submitted()])
        counts = []
        for size in (1, 60):
            messages = [await submitted() for _ in range(size)]
            with statement_log() as told:
                await reports.report(messages)
            counts.append((len(told), told.count(COMMIT)))
        assert counts[0] == counts[1]
        assert counts[0][1] == 2

    async def test_never_logs_what_it_decrypts(
        self, reports: CreditReportsService, submitted: Any
    ) -> None:
        with capture_logs() as lines:
            await reports.report([await submitted()])
        assert {line["event"] for line in lines} == {
            "credit-reports.handled",
            "credit-reports.reported",
        }
        assert PAN not in repr(lines)
        assert "345G" not in repr(lines)


class TestUnusableMessages:
    async def test_of_nobody_is_dead_and_decrypts_nothing(
        self, reports: CreditReportsService, owner: Any
    ) -> None:
        message = await a_submission(owner, uuid4())
        assert await reports.report([message]) == {message: Verdict.UNKNOWN_APPLICATION}
        assert await owner.fetchval("SELECT count(*) FROM audit_log") == 0

    async def test_with_another_applications_ciphertext_is_dead_beside_good_ones(
        self, reports: CreditReportsService, submitted: Any, owner: Any
    ) -> None:
        first, second, third = [await submitted() for _ in range(3)]
        swapped = replace(second, pan_ciphertext=first.pan_ciphertext)
        assert await reports.report([first, swapped, third]) == {
            first: Verdict.DONE,
            swapped: Verdict.UNDECRYPTABLE,
            third: Verdict.DONE,
        }
        ids = [message.application_id for message in (first, second, third)]
        assert [state.cibil_score for state in await states_of(owner, ids)] == [SCORE, None, SCORE]

    async def test_whose_row_holds_another_applications_ciphertext_are_dead(
        self, reports: CreditReportsService, submitted: Any, owner: Any
    ) -> None:
        first, second = [await submitted() for _ in range(2)]
        await owner.execute(
            "UPDATE prequalification_applications SET pan_ciphertext = CASE id WHEN $1 THEN"
            " $3::bytea ELSE $4::bytea END WHERE id IN ($1, $2)",
            *(first.application_id, second.application_id),
            *(second.pan_ciphertext, first.pan_ciphertext),
        )
        assert await reports.report([first, second]) == {
            first: Verdict.UNDECRYPTABLE,
            second: Verdict.UNDECRYPTABLE,
        }

    async def test_whose_row_holds_another_pan_are_dead(
        self, reports: CreditReportsService, submitted: Any, owner: Any
    ) -> None:
        message = await submitted()
        other = CIPHER.encrypt(Pan("ABCPE9999F"), application_id=message.application_id)
        await owner.execute("UPDATE prequalification_applications SET pan_ciphertext = $1", other)
        assert await reports.report([message]) == {message: Verdict.UNDECRYPTABLE}

    async def test_that_is_dead_may_come_again_mended(
        self, reports: CreditReportsService, submitted: Any, owner: Any
    ) -> None:
        good = await submitted()
        changed = replace(good, pan_ciphertext=good.pan_ciphertext[:-1] + b"?")
        assert await reports.report([changed]) == {changed: Verdict.UNDECRYPTABLE}
        assert await reports.report([good]) == {good: Verdict.DONE}
        assert (await state_of(owner, good.application_id)).cibil_score == SCORE

    async def test_beside_its_good_twin_harms_nobody(
        self, reports: CreditReportsService, submitted: Any, owner: Any
    ) -> None:
        good = await submitted()
        forged = replace(good, pan_ciphertext=b"\x01\x011" + bytes(40))
        assert await reports.report([forged, good]) == {
            forged: Verdict.UNDECRYPTABLE,
            good: Verdict.DONE,
        }
        assert (await state_of(owner, good.application_id)).events == 1


class TestRotation:
    async def test_is_no_hindrance_when_the_messages_key_is_gone(
        self, ecs: Application, owner: Any, user_id: UUID, bureau: Asked
    ) -> None:
        application_id = await an_application(owner, user_id, cipher=NEWER)
        old = CIPHER.encrypt(Pan(PAN), application_id=application_id)
        message = await a_submission(owner, application_id, pan_ciphertext=old)
        service = reports_of(ecs, bureau, cipher=NEWER)
        assert await service.report([message]) == {message: Verdict.DONE}
        assert [enquiry.pan for enquiry in bureau.enquiries] == [Pan(PAN)]
        assert (await state_of(owner, application_id)).decryptions == 1

    async def test_waits_for_a_key_that_is_still_to_come(
        self, ecs: Application, owner: Any, user_id: UUID, bureau: Asked
    ) -> None:
        application_id = await an_application(owner, user_id, cipher=NEWER)
        message = await a_submission(owner, application_id)
        assert await reports_of(ecs, bureau).report([message]) == {message: Verdict.UNKNOWN_KEY}
        both = AesGcmPanCipher(KEYRING | {"2": bytes(range(1, 33))}, "1")
        service = reports_of(ecs, bureau, cipher=both)
        assert await service.report([message]) == {message: Verdict.DONE}
        assert (await state_of(owner, application_id)).cibil_score == SCORE


class TestOutage:
    async def test_leaves_the_application_pending_and_the_message_to_come_again(
        self, ecs: Application, submitted: Any, owner: Any
    ) -> None:
        async def down(_: CreditEnquiry) -> None:
            raise BureauUnavailable

        bureau = Asked(down)
        service, message = reports_of(ecs, bureau), await submitted()
        assert await service.report([message]) == {message: Verdict.BUREAU_UNAVAILABLE}
        state = await state_of(owner, message.application_id)
        assert (state.status, state.cibil_score, state.events) == ("PENDING", None, 0)
        bureau.first = None
        assert await service.report([message]) == {message: Verdict.DONE}
        assert (await state_of(owner, message.application_id)).cibil_score == SCORE

    async def test_of_some_answers_stops_no_other(
        self, ecs: Application, submitted: Any, owner: Any
    ) -> None:
        messages = [await submitted() for _ in range(6)]
        unlucky = {message.application_id for message in messages[::2]}

        async def sometimes(enquiry: CreditEnquiry) -> None:
            if enquiry.application_id in unlucky:
                raise BureauUnavailable

        verdicts = await reports_of(ecs, Asked(sometimes)).report(messages)
        assert list(verdicts.values()) == [Verdict.BUREAU_UNAVAILABLE, Verdict.DONE] * 3


class TestCrash:
    @pytest.mark.parametrize("unit", [1, 2])
    async def test_at_a_transaction_is_made_good_by_the_next_delivery(
        self, ecs: Application, submitted: Any, owner: Any, bureau: Asked, unit: int
    ) -> None:
        message, service = await submitted(), reports_of(ecs, bureau)
        with pytest.raises(Broken):
            await replace(service, unit_of_work=BreakingUnits(ecs, at=unit)).report([message])
        assert await service.report([message]) == {message: Verdict.DONE}
        state = await state_of(owner, message.application_id)
        assert (state.cibil_score, state.events, state.decryptions) == (SCORE, 1, unit)

    async def test_while_the_bureau_is_asked_is_made_good_by_the_next_delivery(
        self, ecs: Application, submitted: Any, owner: Any
    ) -> None:
        asked = asyncio.Event()

        async def hang(_: CreditEnquiry) -> None:
            asked.set()
            await asyncio.Event().wait()

        message = await submitted()
        dying = asyncio.create_task(reports_of(ecs, Asked(hang)).report([message]))
        await asyncio.wait_for(asked.wait(), 10)
        dying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dying
        assert (await state_of(owner, message.application_id)).decryptions == 1
        await reports_of(ecs, Asked()).report([message])
        state = await state_of(owner, message.application_id)
        assert (state.cibil_score, state.events, state.decryptions) == (SCORE, 1, 2)


class TestRace:
    async def test_of_two_workers_with_one_batch_has_one_effect(
        self, ecs: Application, submitted: Any, owner: Any
    ) -> None:
        messages = [await submitted() for _ in range(40)]
        both = asyncio.Barrier(2)
        asked: set[int] = set()

        def meeting(number: int) -> Callable[[CreditEnquiry], Awaitable[None]]:
            async def meet(_: CreditEnquiry) -> None:
                if number not in asked:  # Both have read before either writes.
                    asked.add(number)
                    await asyncio.wait_for(both.wait(), 10)

            return meet

        verdicts = await asyncio.gather(
            reports_of(ecs, Asked(meeting(1))).report(messages),
            reports_of(ecs, Asked(meeting(2))).report(messages[::-1]),
        )
        assert {verdict for each in verdicts for verdict in each.values()} == {Verdict.DONE}
        states = await states_of(owner, [message.application_id for message in messages])
        assert {(state.cibil_score, state.events) for state in states} == {(SCORE, 1)}
        assert await owner.fetchval("SELECT count(*) FROM processed_messages") == 40

    async def test_with_the_removal_of_the_application_leaves_nothing_of_it(
        self, ecs: Application, submitted: Any, database: Database, owner: Any
    ) -> None:
        gone, stays = [await submitted() for _ in range(2)]

        async def forget(enquiry: CreditEnquiry) -> None:
            if enquiry.application_id != gone.application_id:
                return
            async with connected(database.owner_url) as other, other.transaction():
                for table, column in (
                    ("prequalification_status_changes", "application_id"),
                    ("prequalification_applications", "id"),
                ):
                    await other.execute(
                        f"DELETE FROM {table} WHERE {column} = $1", gone.application_id
                    )

        await reports_of(ecs, Asked(forget)).report([gone, stays])
        assert await owner.fetchval("SELECT count(*) FROM credit_reports") == 1
        assert (await state_of(owner, stays.application_id)).events == 1
