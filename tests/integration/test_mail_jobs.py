import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.events import NotificationWritten
from ecs.domain.jobs import MAIL_ATTEMPTS_MAX, MAIL_BACKOFF_SECONDS
from ecs.domain.notifications import Letter
from ecs.integrations.exceptions import MailUnavailable, MailUndeliverable
from ecs.integrations.mail.smtp_mailer import SECONDS_MAX
from ecs.integrations.rq_publisher import JOB_SECONDS_MAX
from ecs.services.exceptions import JobNotFound
from ecs.services.notifications_service import LEASE, NotificationsService
from ecs.services.ports import Mailer
from tests.builders import Database, an_acceptance, disable
from tests.invariants import assert_invariants

NO_LEASE: Final = "UPDATE jobs SET leased_until = now() - interval '1 s' WHERE leased_until > now()"


@dataclass(kw_only=True)
class Post:
    """Takes letters, or says what it is told to say."""

    says: Callable[[], Exception | None] = lambda: None
    letters: list[Letter] = field(default_factory=list)

    async def send(self, letter: Letter) -> bool:
        error = self.says()
        if error is not None:
            raise error
        self.letters.append(letter)
        return True


class SlowPost(Post):
    """Takes a letter once it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.allowed = asyncio.Event(), asyncio.Event()

    async def send(self, letter: Letter) -> bool:
        self.asked.set()
        await self.allowed.wait()
        return await super().send(letter)


def by(mailer: Mailer, ecs: Application) -> NotificationsService:
    return replace(ecs.notifications, mailer=mailer)


def down() -> Exception:
    return MailUnavailable("server answered 421")


async def a_mail_job(ecs: Application, database: Database) -> tuple[UUID, UUID]:
    """Somebody whose account was just opened, and the job that says so by e-mail."""
    offer, job_id = await an_acceptance(ecs, database)
    await ecs.acceptance.open_account(job_id=job_id)
    [news] = await ecs.notifications.list(user_id=offer.user_id, limit=10, after=None)
    return offer.user_id, news.id


async def job_of(owner: Any, job_id: UUID) -> Any:
    return await owner.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)


async def publish(owner: Any, job_id: UUID, *, seconds_ago: float) -> None:
    """Mark as the relay does once RQ has the job."""
    await owner.execute(
        "UPDATE outbox_events SET published_at = now() - make_interval(secs => $2) WHERE id = $1",
        job_id,
        seconds_ago,
    )


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

    async def test_who_lost_the_lease_cannot_end_the_next_ones(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        """Frozen for longer than its lease, it wakes up and fails while another one works."""
        _, job_id = await a_mail_job(ecs, database)
        frozen = SlowPost()
        frozen.says = down
        first = asyncio.create_task(by(frozen, ecs).send_email(job_id=job_id))
        await frozen.asked.wait()
        await owner.execute(NO_LEASE)
        async with ecs.notifications.unit_of_work() as uow:
            assert await uow.jobs.lease(job_id, duration=LEASE) == 2
            await uow.commit()
        before = await job_of(owner, job_id)
        frozen.allowed.set()
        await first
        assert await job_of(owner, job_id) == before

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
        assert SECONDS_MAX + 2 < JOB_SECONDS_MAX < LEASE.total_seconds()


class TestFailures:
    async def test_each_is_tried_again_after_its_pause_and_not_before(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        service = by(Post(says=down), ecs)
        for attempt, pause in enumerate(MAIL_BACKOFF_SECONDS[:8], start=1):
            await service.send_email(job_id=job_id)
            await service.send_email(job_id=job_id)  # A copy that comes early is no attempt.
            job = await job_of(owner, job_id)
            event = await owner.fetchrow("SELECT * FROM outbox_events WHERE id = $1", job_id)
            assert (job["status"], job["attempts"]) == ("running", attempt)
            assert (event["attempt"], event["published_at"]) == (attempt + 1, None)
            assert event["available_at"] == job["leased_until"]
            waits = job["leased_until"] - await owner.fetchval("SELECT now()")
            assert timedelta(seconds=pause - 1) < waits <= timedelta(seconds=pause)
            await owner.execute(NO_LEASE)

    async def test_of_a_whole_day_end_the_job_and_leave_the_notification(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        user_id, job_id = await a_mail_job(ecs, database)
        service = by(Post(says=down), ecs)
        for _ in range(MAIL_ATTEMPTS_MAX):
            await service.send_email(job_id=job_id)
            await owner.execute(NO_LEASE)
        job = await job_of(owner, job_id)
        assert (job["status"], job["error_code"]) == ("failed", "email_not_sent")
        assert job["attempts"] == MAIL_ATTEMPTS_MAX
        assert len(await ecs.notifications.list(user_id=user_id, limit=10, after=None)) == 1
        assert (await ecs.acceptance.get_account(user_id)).status == "active"
        await assert_invariants(database.owner_url)

    async def test_are_made_good_by_the_next_attempt(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        await by(Post(says=down), ecs).send_email(job_id=job_id)
        await owner.execute(NO_LEASE)
        post = Post()
        await by(post, ecs).send_email(job_id=job_id)
        assert len(post.letters) == 1
        assert (await job_of(owner, job_id))["status"] == "succeeded"

    async def test_for_good_end_the_job_at_once(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        post = Post(says=lambda: MailUndeliverable("recipient refused: 550"))
        await by(post, ecs).send_email(job_id=job_id)
        job = await job_of(owner, job_id)
        assert (job["status"], job["error_code"]) == ("failed", "email_undeliverable")
        assert (job["attempts"], job["error_message"]) == (1, "recipient refused: 550")

    async def test_that_nobody_foresaw_are_tried_again_and_raised_for_the_log(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        with pytest.raises(ZeroDivisionError):
            await by(Post(says=ZeroDivisionError), ecs).send_email(job_id=job_id)
        job = await job_of(owner, job_id)
        assert (job["status"], job["attempts"]) == ("running", 1)
        assert job["leased_until"] is not None

    async def test_to_carry_the_event_end_the_job(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        await owner.execute(
            "UPDATE outbox_events SET failures = 10, parked_at = now() WHERE id = $1", job_id
        )
        await ecs.outbox.give_up_parked()
        assert (await job_of(owner, job_id))["error_code"] == "email_not_sent"
        assert await ecs.outbox.find_parked_jobs() == []

    async def test_say_nothing_about_anybody(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        user_id, job_id = await a_mail_job(ecs, database)
        capsys.readouterr()
        for post in (Post(says=down), Post()):
            await by(post, ecs).send_email(job_id=job_id)
            await owner.execute(NO_LEASE)
        said = capsys.readouterr().out
        assert "mail.attempt-failed" in said
        assert "mail.finished" in said
        assert not any(word in said for word in (f"{user_id}@", "Maria", "account is open"))


class TestLongQueues:
    @pytest.mark.parametrize(
        ("attempt", "seconds", "lost"),
        [(1, 11, True), (4, 79, False), (4, 81, True), (30, 2559, False), (30, 2561, True)],
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
