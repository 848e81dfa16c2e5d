from datetime import timedelta
from typing import Any

import pytest

from ecs.bootstrap import Application
from ecs.domain.jobs import MAIL_ATTEMPTS_MAX, MAIL_BACKOFF_SECONDS
from ecs.integrations.exceptions import MailUndeliverable
from tests.builders import Database
from tests.integration.mail_support import NO_LEASE, Post, a_mail_job, by, down, job_of
from tests.invariants import assert_invariants


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
