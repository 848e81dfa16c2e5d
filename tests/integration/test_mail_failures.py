import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from ecs.bootstrap import Application
from ecs.domain.jobs import MAIL_ATTEMPTS_MAX, MAIL_BACKOFF_SECONDS, MAIL_IN_DOUBT_PAUSE
from ecs.integrations.exceptions import MailUndeliverable
from ecs.services.notifications_service import LEASE
from tests.builders import Database
from tests.integration.mail_support import (
    NO_LEASE,
    Post,
    SlowPost,
    a_mail_job,
    by,
    down,
    in_doubt,
    job_of,
)
from tests.invariants import assert_invariants

LATER: Final = (
    "UPDATE jobs SET leased_until = now() + interval '1 h' WHERE leased_until IS NOT NULL"
)


class TestFailures:
    async def test_each_is_tried_again_after_its_pause_and_not_before(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        service = by(Post(says=down), ecs)
        for attempt, pause in enumerate(MAIL_BACKOFF_SECONDS[:8], start=1):
            before = await owner.fetchval("SELECT now()")
            await service.send_email(job_id=job_id)
            after = await owner.fetchval("SELECT now()")
            job = await job_of(owner, job_id)
            event = await owner.fetchrow("SELECT * FROM outbox_events WHERE id = $1", job_id)
            assert (job["status"], job["attempts"]) == ("running", attempt)
            assert (event["attempt"], event["published_at"]) == (attempt + 1, None)
            assert event["available_at"] == job["leased_until"]
            assert before <= job["leased_until"] - timedelta(seconds=pause) <= after
            await owner.execute(LATER)  # However slow this machine is, a copy comes early.
            await service.send_email(job_id=job_id)
            assert (await job_of(owner, job_id))["attempts"] == attempt  # It was none.
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


class TestDoubts:
    async def test_are_tried_again_once(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        before = await owner.fetchval("SELECT now()")
        await by(Post(says=in_doubt), ecs).send_email(job_id=job_id)
        job = await job_of(owner, job_id)
        event = await owner.fetchrow("SELECT * FROM outbox_events WHERE id = $1", job_id)
        assert (job["status"], job["attempts"]) == ("running", 1)
        assert job["leased_until"] >= before + MAIL_IN_DOUBT_PAUSE
        assert (event["attempt"], event["available_at"]) == (2, job["leased_until"])
        await owner.execute(NO_LEASE)
        await by(Post(), ecs).send_email(job_id=job_id)
        job = await job_of(owner, job_id)
        assert (job["status"], job["result"]) == ("succeeded", '{"sent": true}')

    async def test_end_the_job_when_there_are_two_whatever_comes_between(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        posts = [Post(says=says) for says in (down, in_doubt, down, in_doubt, in_doubt)]
        for post in posts:
            await by(post, ecs).send_email(job_id=job_id)
            await owner.execute(NO_LEASE)
        job = await job_of(owner, job_id)
        assert (job["status"], job["error_code"]) == ("failed", "email_perhaps_sent")
        assert (job["attempts"], job["result"]) == (4, None)
        await assert_invariants(database.owner_url)

    async def test_of_who_lost_the_lease_change_nothing(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        _, job_id = await a_mail_job(ecs, database)
        await owner.execute("UPDATE jobs SET result = '{}' WHERE id = $1", job_id)
        before = await overtaken(ecs, owner, job_id, says=in_doubt)
        assert await job_of(owner, job_id) == before


@pytest.mark.parametrize(
    "says", [down, in_doubt, lambda: MailUndeliverable("recipient refused: 550")]
)
async def test_who_lost_the_lease_cannot_end_the_next_ones(
    ecs: Application, database: Database, owner: Any, says: Callable[[], Exception]
) -> None:
    """Frozen for longer than its lease, it wakes up and fails while another one works."""
    _, job_id = await a_mail_job(ecs, database)
    before = await overtaken(ecs, owner, job_id, says=says)
    assert await job_of(owner, job_id) == before


async def test_who_lost_the_lease_cannot_give_up_for_the_next_one(
    ecs: Application, database: Database, owner: Any
) -> None:
    _, job_id = await a_mail_job(ecs, database)
    await owner.execute(
        "UPDATE jobs SET status = 'running', attempts = $2 WHERE id = $1",
        job_id,
        MAIL_ATTEMPTS_MAX - 1,
    )
    before = await overtaken(ecs, owner, job_id, says=down)  # It was the last of its day.
    assert await job_of(owner, job_id) == before


async def test_who_lost_the_lease_and_has_sent_ends_the_job(
    ecs: Application, database: Database, owner: Any
) -> None:
    _, job_id = await a_mail_job(ecs, database)
    await overtaken(ecs, owner, job_id, says=lambda: None)
    assert (await job_of(owner, job_id))["result"] == '{"sent": true}'


async def overtaken(
    ecs: Application, owner: Any, job_id: UUID, *, says: Callable[[], Exception | None]
) -> Any:
    """Let a slow one end after somebody else has claimed its job; return the job of before."""
    frozen = SlowPost()
    frozen.says = says
    first = asyncio.create_task(by(frozen, ecs).send_email(job_id=job_id))
    await frozen.asked.wait()
    await owner.execute(NO_LEASE)
    async with ecs.notifications.unit_of_work() as uow:
        assert await uow.jobs.lease(job_id, duration=LEASE)
        await uow.commit()
    before = await job_of(owner, job_id)
    frozen.allowed.set()
    await first
    return before
