"""Use cases of notifications: read them, and send them by e-mail."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.events import NotificationWritten
from ecs.domain.jobs import (
    MAIL_ATTEMPTS_MAX,
    MAIL_BACKOFF_SECONDS,
    MAIL_IN_DOUBT_PAUSE,
    pause_before_retry,
)
from ecs.domain.measures import JOB_FAILURES
from ecs.domain.notifications import Notification
from ecs.domain.telemetry import Measures
from ecs.integrations.exceptions import MailPerhapsSent, MailUnavailable, MailUndeliverable
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.exceptions import NotificationNotFound
from ecs.services.ports import Mailer

log = structlog.get_logger(__name__)

# Longer than a mailer may take, and than a job may run: whoever works still holds the lease.
LEASE: Final = timedelta(seconds=165)
UNDELIVERABLE: Final = "email_undeliverable"
PERHAPS_SENT: Final = "email_perhaps_sent"
GIVEN_UP: Final = "email_not_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationsService:
    """What people are told, as they see it."""

    unit_of_work: Callable[[], UnitOfWork]
    mailer: Mailer
    measures: Measures

    async def list(self, *, user_id: UUID, limit: int, after: UUID | None) -> list[Notification]:
        """Return the person's notifications, newest first, those behind ``after``."""
        async with self.unit_of_work() as uow:
            return await uow.notifications.list(user_id, limit=limit, after=after)

    async def mark_read(self, *, user_id: UUID, notification_id: UUID) -> None:
        """Note that it was read. Safe to repeat; ``NotificationNotFound`` for anybody else's."""
        async with self.unit_of_work() as uow:
            if not await uow.notifications.mark_read(notification_id, user_id=user_id):
                raise NotificationNotFound
            await uow.commit()

    async def send_email(self, *, job_id: UUID) -> None:
        """
        Send a notification by e-mail; the job that does has the notification's id.

        Safe to call any number of times, even at once: a job is leased before anything is sent. An
        attempt that fails is tried again after a pause, for about a day; one that has perhaps
        succeeded, once.
        """
        attempt = await self._lease(job_id)
        if attempt is None:
            log.info("mail.finished-or-in-other-hands", job_id=str(job_id))
        elif attempt > MAIL_ATTEMPTS_MAX:  # The worker died in the middle each time.
            await self._fail(job_id, attempt, code=GIVEN_UP, reason="attempts without an end")
        else:
            await self._attempt(job_id, attempt)

    async def give_up(self, *, job_id: UUID) -> None:
        """End the sending of an e-mail that nobody can do; what is told in the app stays."""
        await self._fail(job_id, None, code=GIVEN_UP, reason="nobody can take it")

    async def _lease(self, job_id: UUID) -> int | None:
        async with self.unit_of_work() as uow:
            attempt = await uow.jobs.lease(job_id, duration=LEASE)
            await uow.commit()
        return attempt

    async def _attempt(self, job_id: UUID, attempt: int) -> None:
        try:
            sent = await self._send(job_id)
        except MailUndeliverable as error:
            await self._fail(job_id, attempt, code=UNDELIVERABLE, reason=str(error))
        except MailPerhapsSent as error:
            await self._note_doubt(job_id, attempt, reason=str(error))
        except MailUnavailable as error:
            await self._note_failure(job_id, attempt, reason=str(error))
        except Exception as error:
            await self._note_failure(job_id, attempt, reason=type(error).__name__)
            raise
        else:
            await self._succeed(job_id, sent=sent)

    async def _send(self, job_id: UUID) -> bool:
        """Return whether there was somebody to write to, and it was sent; no lock is held."""
        async with self.unit_of_work() as uow:
            letter = await uow.notifications.find_letter(job_id)
        return letter is not None and await self.mailer.send(letter)

    async def _succeed(self, job_id: UUID, *, sent: bool) -> None:
        async with self.unit_of_work() as uow:
            await uow.jobs.succeed(job_id, result={"sent": sent})
            await uow.commit()
        log.info("mail.finished", job_id=str(job_id), sent=sent)

    async def _fail(self, job_id: UUID, attempt: int | None, *, code: str, reason: str) -> None:
        async with self.unit_of_work() as uow:
            ended = await uow.jobs.fail(job_id, code=code, message=reason, attempt=attempt)
            await uow.commit()
        if ended:
            self.measures.count(JOB_FAILURES, kind=NotificationWritten.kind, then="given_up")
            log.warning("mail.given-up", job_id=str(job_id), code=code, reason=reason)

    async def _note_failure(self, job_id: UUID, attempt: int, *, reason: str) -> None:
        pause = pause_before_retry(attempt, backoff_seconds=MAIL_BACKOFF_SECONDS)
        log.warning("mail.attempt-failed", job_id=str(job_id), attempt=attempt, reason=reason)
        if pause is None:
            await self._fail(job_id, attempt, code=GIVEN_UP, reason=reason)
            return
        async with self.unit_of_work() as uow:
            if not await uow.jobs.postpone(job_id, attempt=attempt, pause=pause):
                return  # The lease ran out: whoever has claimed the job since decides about it.
            await uow.outbox.retry(job_id, pause=pause)
            await uow.commit()
        self._measure_retry()

    async def _note_doubt(self, job_id: UUID, attempt: int, *, reason: str) -> None:
        """Try once more what has perhaps arrived; the second doubt is the last."""
        log.warning("mail.perhaps-sent", job_id=str(job_id), attempt=attempt, reason=reason)
        async with self.unit_of_work() as uow:
            postponed = await uow.jobs.postpone_in_doubt(
                job_id, attempt=attempt, pause=MAIL_IN_DOUBT_PAUSE
            )
            if postponed:
                await uow.outbox.retry(job_id, pause=MAIL_IN_DOUBT_PAUSE)
                await uow.commit()
        if postponed:
            self._measure_retry()
        else:
            await self._fail(job_id, attempt, code=PERHAPS_SENT, reason=reason)

    def _measure_retry(self) -> None:
        self.measures.count(JOB_FAILURES, kind=NotificationWritten.kind, then="retried")
