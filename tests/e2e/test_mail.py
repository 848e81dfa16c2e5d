"""The mail arrives: once, with what it promises, whoever is down or killed meanwhile."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from scripts.stack.processes import send
from tests.e2e.support import Outside, Person, kill_all, until

log = logging.getLogger(__name__)

WORKER, SINK, RELAY = "rq-mail", "mail-sink", "outbox-relay"
# A dead worker's lease has to end first; it is cut short here.
LEASE_OVER: Final = (
    "UPDATE jobs SET leased_until = now() + interval '5 s' WHERE id = $1 AND leased_until > now()"
)


def mails_to(ecs: Outside, person: Person) -> list[Path]:
    address = f"{person.id}@example.com".encode()
    return [file for file in ecs.stack.place.mail.glob("*.eml") if address in file.read_bytes()]


async def the_mail(
    ecs: Outside, person: Person, *, seconds: float = 30
) -> tuple[Path, EmailMessage]:
    """Wait for somebody's mail; return it, and where it lies."""
    files: list[Path] = []

    async def has_come() -> bool:
        files[:] = mails_to(ecs, person)
        return bool(files)

    await until(has_come, seconds=seconds, what="the mail")
    assert len(files) == 1
    message = message_from_bytes(files[0].read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return files[0], message


def times_taken(ecs: Outside, message_id: str) -> int:
    """How often the mail server took a message: a second copy replaces the first one's file."""
    lines = (ecs.stack.place.logs / f"{SINK}.log").read_text().splitlines()
    return lines.count(f"taken: {message_id}")


async def news_id(ecs: Outside, person: Person) -> UUID:
    return UUID(str(await ecs.value("SELECT id FROM notifications WHERE user_id = $1", person.id)))


async def mail_job(ecs: Outside, person: Person) -> tuple[str, int]:
    [row] = await ecs.rows(
        "SELECT status, attempts FROM jobs WHERE user_id = $1 AND kind = 'send_email'", person.id
    )
    return row["status"], row["attempts"]


async def has_succeeded(ecs: Outside, person: Person) -> None:
    async def ended() -> bool:
        return (await mail_job(ecs, person))[0] == "succeeded"

    await until(ended, what="the end of the mail job")


@asynccontextmanager
async def frozen(ecs: Outside, program: str) -> AsyncIterator[None]:
    """Stop a program in its tracks: it still listens, and answers nothing."""
    pid = ecs.stack.kill(program, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pid, signal.SIGCONT)


async def test_an_accepted_offer_is_followed_by_one_mail(ecs: Outside) -> None:
    person, offer_id = await ecs.an_offer()
    await ecs.assert_opened(person, offer_id, await ecs.accepted_job(person, offer_id))
    started = time.monotonic()
    file, message = await the_mail(ecs, person)
    log.info("mail: %.2f s after the account", time.monotonic() - started)
    assert file.name == f"{await news_id(ecs, person)}.eml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert message["Message-ID"] == f"<{file.stem}@ecs.localhost>"
    assert message["To"] == f"{person.id}@example.com"
    assert message["From"] == ecs.stack.env["MAIL_FROM"]
    assert message["Subject"] == "Your credit account is open"
    assert message["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert "Hello Maria," in message.as_string()
    await has_succeeded(ecs, person)
    assert times_taken(ecs, file.stem) == 1
    job = await ecs.get(person, f"/api/v1/jobs/{file.stem}")
    assert job.status_code == 404
    logged = [
        text
        for program in (WORKER, RELAY, SINK)
        for text in (ecs.stack.place.logs / f"{program}.log").read_text().splitlines()
    ]
    assert any(file.stem in line for line in logged)
    assert not any("example.com" in line or "Maria" in line for line in logged)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_mail_server_that_is_away_delays_the_mail_and_nothing_else(
    ecs: Outside, how: str
) -> None:
    person, offer_id = await ecs.an_offer()
    async with _away(ecs, how):
        started = time.monotonic()
        job_id = await ecs.accepted_job(person, offer_id)
        await ecs.assert_opened(person, offer_id, job_id)
        assert time.monotonic() - started < 10  # Seconds, on a busy machine.

        async def has_been_tried() -> bool:
            return (await mail_job(ecs, person))[1] >= 1

        await until(has_been_tried, what="an attempt to send")
        await asyncio.sleep(max(0.0, 10 - (time.monotonic() - started)))  # It stays away for 10 s.
        assert mails_to(ecs, person) == []
    back = time.monotonic()
    file, _ = await the_mail(ecs, person, seconds=60)
    log.info("mail server %s: mail %.1f s after its return", how, time.monotonic() - back)
    assert file.stem == str(await news_id(ecs, person))
    await has_succeeded(ecs, person)
    assert times_taken(ecs, file.stem) == 1
    await ecs.assert_one_account(person, offer_id)


async def test_a_worker_killed_while_it_sends_sends_the_same_mail_later(ecs: Outside) -> None:
    person, offer_id = await ecs.an_offer()
    parent = ecs.stack.pid(WORKER)
    async with frozen(ecs, SINK):
        await ecs.assert_opened(person, offer_id, await ecs.accepted_job(person, offer_id))

        async def is_sending() -> bool:
            return (await mail_job(ecs, person)) == ("running", 1) and bool(ecs.children(WORKER))

        await until(is_sending, what="an attempt to send")
        kill_all([parent, *ecs.children(WORKER)], signal.SIGKILL)
    killed = time.monotonic()
    await ecs.execute(LEASE_OVER, await news_id(ecs, person))
    await asyncio.to_thread(ecs.stack.wait_for_restart, WORKER, old_pid=parent)
    file, message = await the_mail(ecs, person, seconds=60)
    log.info("worker killed: mail %.1f s later", time.monotonic() - killed)
    assert message["Message-ID"] == f"<{await news_id(ecs, person)}@ecs.localhost>"
    await has_succeeded(ecs, person)
    assert mails_to(ecs, person) == [file]
    assert times_taken(ecs, file.stem) == 1  # The killed one had not come that far.


@asynccontextmanager
async def _away(ecs: Outside, how: str) -> AsyncIterator[None]:
    if how == "frozen":
        async with frozen(ecs, SINK):
            yield
        return
    await asyncio.to_thread(ecs.stack.stop_program, SINK)
    try:
        yield
    finally:
        await asyncio.to_thread(ecs.stack.start_program, SINK)
