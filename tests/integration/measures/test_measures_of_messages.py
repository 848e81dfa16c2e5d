"""What prequalification, mail and the outbox count as: once, and only what was committed."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import pytest

from ecs.bootstrap import Application
from ecs.domain.events import OfferAccepted
from ecs.domain.measures import (
    BUREAU_SECONDS,
    JOB_FAILURES,
    JOBS_REDISPATCHED,
    OUTBOX_FAILURES,
    OUTBOX_PUBLISHED,
    OUTBOX_REFUSED,
    OUTBOX_SECONDS,
    PREQUALIFICATION_LOANS,
    PREQUALIFICATION_SECONDS,
    PREQUALIFICATIONS,
    SWEEPS,
)
from ecs.domain.prequalification.application import Status
from ecs.integrations.exceptions import BureauUnavailable, MailUndeliverable
from ecs.services.exceptions import (
    AlreadyDecided,
    DestinationUnavailable,
    DuplicateApplication,
    RepositoryError,
)
from ecs.services.idempotency import KeyedRequest
from tests.builders import Database, an_acceptance
from tests.integration.mail_support import NO_LEASE, Post, a_mail_job, down, in_doubt
from tests.integration.mail_support import by as mailed_by
from tests.integration.measured import Meter, of
from tests.integration.pipeline_support import (
    Asked,
    a_notice,
    a_submission,
    an_application,
    reports_of,
)
from tests.integration.test_failing_commits import refuse_commits
from tests.integration.test_outbox import (
    DownPublisher,
    InterruptedPublisher,
    RecordingPublisher,
    an_event,
    by,
)
from tests.integration.test_prequalification import submit
from workers.outbox_relay import relay_for_ever, sweep_for_ever

ACCOUNTS_QUEUE: Final = OfferAccepted.destination
KEY: Final = KeyedRequest(caller="user:1", method="POST", route="/a", key="one", payload="{}")
SUBMITTED: Final = {
    of(PREQUALIFICATION_LOANS, loan_type="HOME"): 1.0,
    of(PREQUALIFICATIONS, status="PENDING"): 1.0,
}
PLACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def decided(status: str) -> dict[str, float]:
    return {
        of(PREQUALIFICATIONS, status=status): 1,
        of(PREQUALIFICATION_SECONDS, status=status): 1,
    }


def published(rows: int) -> dict[str, float]:
    labels = {"destination": ACCOUNTS_QUEUE}
    return {of(OUTBOX_PUBLISHED, **labels): rows, of(OUTBOX_SECONDS, **labels): rows}


class TestSubmit:
    async def test_counts_an_application_once_whatever_is_repeated(
        self, ecs: Application, meter: Meter, user_id: UUID
    ) -> None:
        await submit(ecs, user_id, request=KEY)
        assert meter.counted() == SUBMITTED
        await submit(ecs, user_id, request=KEY)
        with pytest.raises(DuplicateApplication):
            await submit(ecs, user_id)
        assert meter.counted() == {}

    async def test_counts_nothing_when_the_commit_fails(
        self, ecs: Application, meter: Meter, owner: Any, user_id: UUID
    ) -> None:
        await refuse_commits(owner, "prequalification_applications")
        with pytest.raises(RepositoryError):
            await submit(ecs, user_id)
        assert meter.counted() == {}


class TestReport:
    async def test_measures_each_enquiry_by_its_end(
        self, ecs: Application, meter: Meter, owner: Any, user_id: UUID
    ) -> None:
        async def unavailable(_: object) -> None:
            raise BureauUnavailable

        notice = await a_submission(owner, await an_application(owner, user_id))
        for bureau, outcome in ((Asked(unavailable), "unavailable"), (Asked(), "score")):
            service = replace(reports_of(ecs, bureau), measures=meter.measures)
            await service.report([notice])
            assert meter.counted() == {of(BUREAU_SECONDS, outcome=outcome): 1}
        await replace(reports_of(ecs, Asked()), measures=meter.measures).report([notice])
        assert meter.counted() == {}  # A late copy asks nobody.


class TestDecide:
    @pytest.mark.parametrize(
        ("score", "loan", "status"),
        [(649, 500_000_00, "REJECTED"), (700, 2_400_000_00, "MANUAL_REVIEW")],
    )
    async def test_counts_a_decision_and_the_time_since_the_submission(  # noqa: PLR0913, PLR0917  (a row of the table)
        self,
        ecs: Application,
        meter: Meter,
        owner: Any,
        user_id: UUID,
        score: int,
        loan: int,
        status: str,
    ) -> None:
        application_id = await an_application(owner, user_id, score=score, loan=loan)
        await owner.execute(
            "UPDATE prequalification_applications SET created_at = now() - interval '100 s'"
        )
        copies = [a_notice(application_id) for _ in range(3)]
        await asyncio.gather(*(ecs.prequalification_decisions.decide([one]) for one in copies))
        await ecs.prequalification_decisions.decide(copies)
        assert meter.counted() == decided(status)
        waited = await owner.fetchval(
            "SELECT updated_at - created_at FROM prequalification_applications"
        )
        told = meter.total(PREQUALIFICATION_SECONDS, status=status)
        assert told == pytest.approx(waited.total_seconds())
        assert told > 100

    async def test_counts_nothing_when_the_commit_fails(
        self, ecs: Application, meter: Meter, owner: Any, user_id: UUID
    ) -> None:
        application_id = await an_application(owner, user_id, score=700)
        await refuse_commits(owner, "prequalification_status_changes")
        with pytest.raises(RepositoryError):
            await ecs.prequalification_decisions.decide([a_notice(application_id)])
        assert meter.counted() == {}


class TestReview:
    async def test_counts_the_decision_of_the_officer_who_was_faster(
        self, ecs: Application, meter: Meter, owner: Any, user_id: UUID, client_id: UUID
    ) -> None:
        application_id = await an_application(owner, user_id, score=700, loan=2_400_000_00)
        await ecs.prequalification_decisions.decide([a_notice(application_id)])
        assert meter.counted() == decided("MANUAL_REVIEW")
        review = partial(
            ecs.prequalification.review,
            application_id,
            reason="Checked by hand.",
            client_id=client_id,
            request_id=None,
        )
        answers = await asyncio.gather(
            *(review(status=Status.REJECTED) for _ in range(3)), return_exceptions=True
        )
        assert sum(isinstance(one, AlreadyDecided) for one in answers) == 2
        assert meter.counted() == {of(PREQUALIFICATIONS, status="REJECTED"): 1}


class TestSendEmail:
    def failed(self, then: str) -> dict[str, float]:
        return {of(JOB_FAILURES, kind="send_email", then=then): 1}

    async def test_counts_each_attempt_that_failed_and_what_follows(
        self, ecs: Application, database: Database, meter: Meter, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        meter.counted()
        for _ in range(2):
            await mailed_by(Post(says=down), ecs).send_email(job_id=job_id)
            assert meter.counted() == self.failed("retried")
            await owner.execute(NO_LEASE)
        for then in ("retried", "given_up"):  # The second doubt is the last.
            await mailed_by(Post(says=in_doubt), ecs).send_email(job_id=job_id)
            assert meter.counted() == self.failed(then)
            await owner.execute(NO_LEASE)
        await ecs.notifications.give_up(job_id=job_id)
        assert meter.counted() == {}

    async def test_counts_a_letter_that_nobody_can_deliver_as_given_up(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        meter.counted()
        refusing = Post(says=lambda: MailUndeliverable("no such mailbox"))
        await mailed_by(refusing, ecs).send_email(job_id=job_id)
        assert meter.counted() == self.failed("given_up")

    async def test_counts_no_failure_where_the_letter_was_taken(
        self, ecs: Application, database: Database, meter: Meter
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        meter.counted()
        await mailed_by(Post(), ecs).send_email(job_id=job_id)
        assert meter.counted() == {}


class TestRelay:
    async def test_counts_what_was_confirmed_and_each_refusal(
        self, ecs: Application, meter: Meter
    ) -> None:
        bad, *_ = [await an_event(ecs) for _ in range(3)]
        await by(RecordingPublisher(bad), ecs).relay(ACCOUNTS_QUEUE)
        refused = {of(OUTBOX_REFUSED, destination=ACCOUNTS_QUEUE): 1}
        assert meter.counted() == published(2) | refused

    async def test_measures_from_the_writing_and_what_is_repeated_from_when_it_was_due(
        self, ecs: Application, meter: Meter, owner: Any
    ) -> None:
        await an_event(ecs)
        for attempt, seconds in ((1, 100), (2, 10)):
            await owner.execute(
                "UPDATE outbox_events SET published_at = NULL, attempt = $1,"
                " created_at = now() - interval '100 s', available_at = now() - interval '10 s'",
                attempt,
            )
            before = meter.total(OUTBOX_SECONDS, destination=ACCOUNTS_QUEUE)
            await by(RecordingPublisher(), ecs).relay(ACCOUNTS_QUEUE)
            waited = meter.total(OUTBOX_SECONDS, destination=ACCOUNTS_QUEUE) - before
            assert seconds < waited < seconds + 60

    async def test_counts_what_was_confirmed_before_the_line_broke(
        self, ecs: Application, meter: Meter
    ) -> None:
        good, _ = await an_event(ecs), await an_event(ecs)
        with pytest.raises(DestinationUnavailable):
            await by(InterruptedPublisher(good), ecs).relay(ACCOUNTS_QUEUE)
        assert meter.counted() == published(1)

    async def test_counts_nothing_when_the_commit_fails(
        self, ecs: Application, meter: Meter, owner: Any
    ) -> None:
        await an_event(ecs)
        await refuse_commits(owner, "outbox_events")
        with pytest.raises(RepositoryError):
            await by(RecordingPublisher(), ecs).relay(ACCOUNTS_QUEUE)
        assert meter.counted() == {}

    async def test_traces_the_wait_of_what_was_confirmed(
        self, ecs: Application, owner: Any
    ) -> None:
        bad, _ = [await an_event(ecs) for _ in range(2)]
        traces = Recorded()
        await owner.execute("UPDATE outbox_events SET trace_parent = $1", PLACE)
        await replace(by(RecordingPublisher(bad), ecs), traces=traces).relay(ACCOUNTS_QUEUE)
        written = await owner.fetchval(
            "SELECT created_at FROM outbox_events WHERE published_at IS NOT NULL"
        )
        assert traces.records == [("outbox rq:accounts", PLACE, written)]

    async def test_traces_no_wait_of_what_is_repeated(self, ecs: Application, owner: Any) -> None:
        await an_event(ecs)
        traces = Recorded()
        await owner.execute("UPDATE outbox_events SET trace_parent = $1, attempt = 2", PLACE)
        await replace(by(RecordingPublisher(), ecs), traces=traces).relay(ACCOUNTS_QUEUE)
        assert traces.records == []


class TestRelayForEver:
    async def test_counts_the_rounds_that_fail(self, ecs: Application, meter: Meter) -> None:
        await an_event(ecs)
        failing = replace(ecs, outbox=by(DownPublisher(), ecs))
        counted = await meter.counted_by(relay_for_ever(failing, ACCOUNTS_QUEUE), OUTBOX_FAILURES)
        assert counted == {of(OUTBOX_FAILURES, destination=ACCOUNTS_QUEUE): 1}


class TestSweepForEver:
    async def test_counts_its_rounds_and_what_it_found(
        self, ecs: Application, database: Database, meter: Meter, owner: Any
    ) -> None:
        await an_acceptance(ecs, database)
        await owner.execute("UPDATE outbox_events SET published_at = now() - interval '1 hour'")
        meter.counted()
        counted = await meter.counted_by(sweep_for_ever(ecs), SWEEPS)
        assert counted == {of(SWEEPS, outcome="done"): 1, of(JOBS_REDISPATCHED): 1}

    async def test_counts_the_rounds_that_fail(
        self, ecs: Application, meter: Meter, owner: Any
    ) -> None:
        await owner.execute("ALTER TABLE jobs RENAME TO gone")
        counted = await meter.counted_by(sweep_for_ever(ecs), SWEEPS)
        assert counted == {of(SWEEPS, outcome="failed"): 1}


@dataclass(kw_only=True)
class Recorded:
    """Traces that can be read again."""

    records: list[tuple[str, str | None, datetime]] = field(default_factory=list)

    def parent(self) -> str | None:
        return None

    def span(self, name: str, *, parents: Sequence[str | None]) -> AbstractContextManager[None]:
        return nullcontext()

    def record(self, name: str, *, parent: str | None, since: datetime) -> None:
        self.records.append((name, parent, since))

    def flush(self) -> None:
        pass
