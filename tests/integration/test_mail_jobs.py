import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.events import NotificationWritten
from ecs.domain.jobs import MAIL_ATTEMPTS_MAX
from ecs.integrations.mail.smtp_mailer import (
    ANSWER_SECONDS_MAX,
    GOODBYE_SECONDS_MAX,
    SECONDS_MAX,
)
from ecs.integrations.rq_publisher import MAIL_JOB_SECONDS_MAX
from ecs.services.exceptions import JobNotFound
from ecs.services.notifications_service import LEASE
from tests.builders import Database, an_acceptance, disable
from tests.integration.mail_support import (
    NO_LEASE,
    Post,
    SlowPost,
    a_mail_job,
    by,
    job_of,
    publish,
)
from tests.invariants import assert_invariants


class TestWriting:
    async def test_a_notification_brings_its_mail_job_and_event(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        user_id, job_id = await a_mail_job(ecs, database)
        job = await job_of(owner, job_id)
        event = await owner.fetchrow("SELECT * FROM outbox_events WHERE id = $1", job_id)
        assert (job["kind"], job["user_id"], job["status"]) == ("send_email", user_id, "queued")
        assert event["destination"] == NotificationWritten.destination
        assert event["payload"] == f'{{"notification_id": "{job_id}"}}'
        assert event["request_id"] == "req-accept"  # The one of the accept, all the way.
        await assert_invariants(database.owner_url)

    async def test_nobody_can_follow_a_mail_job(self, ecs: Application, database: Database) -> None:
        user_id, job_id = await a_mail_job(ecs, database)
        with pytest.raises(JobNotFound):
            await ecs.jobs.get(user_id=user_id, job_id=job_id)


class TestSending:
    async def test_sends_what_was_told_and_to_whom(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        user_id, job_id = await a_mail_job(ecs, database)
        post = Post()
        await by(post, ecs).send_email(job_id=job_id)
        [letter] = post.letters
        account = await ecs.acceptance.get_account(user_id)
        assert (letter.notification_id, letter.recipient) == (job_id, f"{user_id}@example.com")
        assert letter.full_name == "Maria Souza"
        assert letter.account is not None
        assert (letter.account.credit_limit, letter.account.apr, letter.account.opened_at) == (
            account.credit_limit,
            account.apr,
            account.opened_at,
        )
        job = await job_of(owner, job_id)
        assert (job["status"], job["result"], job["attempts"]) == ("succeeded", '{"sent": true}', 1)
        assert job["leased_until"] is None
        await assert_invariants(database.owner_url)

    async def test_sends_once_however_often_it_is_called(
        self, ecs: Application, database: Database
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        post = Post()
        for _ in range(3):
            await by(post, ecs).send_email(job_id=job_id)
        assert len(post.letters) == 1

    async def test_sends_once_when_ten_copies_run_at_once(
        self, ecs: Application, operator: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        post = Post()
        copies = (by(post, operator).send_email(job_id=job_id) for _ in range(10))
        await asyncio.gather(*copies)
        assert len(post.letters) == 1
        assert (await job_of(owner, job_id))["attempts"] == 1

    async def test_holds_no_lock_and_no_transaction_while_the_server_thinks(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        post = SlowPost()
        sending = asyncio.create_task(by(post, ecs).send_email(job_id=job_id))
        await post.asked.wait()
        busy = await owner.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            " AND backend_type = 'client backend'"
        )
        async with asyncio.timeout(5):
            await owner.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE NOWAIT", job_id)
        post.allowed.set()
        await sending
        assert busy == 0
        assert len(post.letters) == 1

    async def test_writes_to_nobody_who_is_disabled(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        user_id, job_id = await a_mail_job(ecs, database)
        await disable(database, user_id)
        post = Post()
        await by(post, ecs).send_email(job_id=job_id)
        job = await job_of(owner, job_id)
        assert (post.letters, job["status"], job["result"]) == ([], "succeeded", '{"sent": false}')

    async def test_of_a_refusal_tells_no_terms(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await an_acceptance(ecs, database)
        await owner.execute("UPDATE outbox_events SET failures = 10, parked_at = now()")
        await ecs.outbox.give_up_parked()
        news_id = await owner.fetchval("SELECT id FROM notifications WHERE job_id = $1", job_id)
        post = Post()
        await by(post, ecs).send_email(job_id=news_id)
        assert [(letter.kind, letter.account) for letter in post.letters] == [
            ("acceptance_failed", None)
        ]

    async def test_switched_off_ends_the_job_all_the_same(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        await ecs.notifications.send_email(job_id=job_id)  # The tests' settings name no server.
        assert (await job_of(owner, job_id))["result"] == '{"sent": false}'

    async def test_does_nothing_for_a_job_that_is_not_there(self, ecs: Application) -> None:
        post = Post()
        await by(post, ecs).send_email(job_id=uuid4())
        assert post.letters == []


class TestLeases:
    async def test_somebody_elses_lease_is_respected(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        post = SlowPost()
        first = asyncio.create_task(by(post, ecs).send_email(job_id=job_id))
        await post.asked.wait()
        other = Post()
        await by(other, ecs).send_email(job_id=job_id)
        post.allowed.set()
        await first
        assert (len(post.letters), other.letters) == (1, [])
        assert (await job_of(owner, job_id))["attempts"] == 1

    async def test_the_search_for_lost_jobs_leaves_a_lease_alone_until_it_ends(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        async with ecs.notifications.unit_of_work() as uow:
            assert await uow.jobs.lease(job_id, duration=LEASE) == 1
            await uow.commit()  # And the worker dies.
        await publish(owner, job_id, seconds_ago=3600)
        assert await ecs.outbox.redispatch_lost() == 0
        await owner.execute(NO_LEASE)
        assert await ecs.outbox.redispatch_lost() == 1
        post = Post()
        await by(post, ecs).send_email(job_id=job_id)
        assert len(post.letters) == 1
        assert (await job_of(owner, job_id))["attempts"] == 2

    async def test_of_twenty_who_want_an_ended_lease_one_gets_it(
        self, ecs: Application, operator: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)

        async def want() -> int | None:
            async with operator.notifications.unit_of_work() as uow:
                attempt = await uow.jobs.lease(job_id, duration=LEASE)
                await uow.commit()
            return attempt

        for expected in (1, 2):
            answers = await asyncio.gather(*(want() for _ in range(20)))
            assert [attempt for attempt in answers if attempt] == [expected]
            await owner.execute(NO_LEASE)

    async def test_a_worker_that_dies_each_time_is_given_up(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        await owner.execute(
            "UPDATE jobs SET status = 'running', attempts = $2 WHERE id = $1",
            job_id,
            MAIL_ATTEMPTS_MAX,
        )
        post = Post()
        await by(post, ecs).send_email(job_id=job_id)
        job = await job_of(owner, job_id)
        assert (post.letters, job["status"], job["error_code"]) == ([], "failed", "email_not_sent")

    def test_outlive_everything_that_may_take_long(self) -> None:
        letter = SECONDS_MAX + ANSWER_SECONDS_MAX + GOODBYE_SECONDS_MAX
        assert letter + 5 < MAIL_JOB_SECONDS_MAX < LEASE.total_seconds()


class TestLongQueues:
    @pytest.mark.parametrize(
        ("attempt", "seconds", "lost"),
        [(1, 11, True), (4, 65, False), (4, 81, True), (30, 2500, False), (30, 2561, True)],
    )
    async def test_are_not_flooded_with_copies_while_a_server_is_slow(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        *,
        attempt: int,
        seconds: int,
        lost: bool,
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        await publish(owner, job_id, seconds_ago=seconds)
        await owner.execute("UPDATE outbox_events SET attempt = $2 WHERE id = $1", job_id, attempt)
        assert await ecs.outbox.redispatch_lost() == lost


async def test_a_lost_account_goes_before_any_number_of_mails(
    ecs: Application, database: Database, owner: Any
) -> None:
    for _ in range(3):
        _, mail_id = await a_mail_job(ecs, database)
        await publish(owner, mail_id, seconds_ago=3600)
    _, account_id = await an_acceptance(ecs, database)  # The newest of all.
    await publish(owner, account_id, seconds_ago=3600)
    async with ecs.outbox.unit_of_work() as uow:
        lost = await uow.outbox.redispatch_lost(patience=timedelta(seconds=10), limit=1)
    assert lost == [account_id]


async def test_somebody_who_is_forgotten_gets_no_mail_and_leaves_no_job(
    ecs: Application, operator: Application, database: Database, owner: Any
) -> None:
    offer, accept_id = await an_acceptance(ecs, database)
    await disable(database, offer.user_id)
    await ecs.acceptance.open_account(job_id=accept_id)  # Refused: there is news, but no account.
    job_id = await owner.fetchval("SELECT id FROM notifications WHERE job_id = $1", accept_id)
    await owner.execute("UPDATE users SET disabled_at = NULL")
    post = SlowPost()
    sending = asyncio.create_task(by(post, ecs).send_email(job_id=job_id))
    await post.asked.wait()
    await operator.maintenance.forget_user(email=f"{offer.user_id}@example.com")
    post.allowed.set()
    await sending  # It was on its way; nothing is left to note that in.
    assert await job_of(owner, job_id) is None
    await by(post, ecs).send_email(job_id=job_id)
    assert len(post.letters) == 1
