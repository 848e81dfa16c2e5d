"""Mail servers that do as they are told, and jobs for them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from ecs.bootstrap import Application
from ecs.domain.notifications import Letter
from ecs.integrations.exceptions import MailPerhapsSent, MailUnavailable
from ecs.services.notifications_service import NotificationsService
from ecs.services.ports import Mailer
from tests.builders import Database, an_acceptance

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


def in_doubt() -> Exception:
    return MailPerhapsSent("SMTPReadTimeoutError")


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
