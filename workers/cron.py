"""The clock of periodic work: ``python -m workers.cron`` puts jobs on the ``periodic`` queue."""

from typing import Final

import structlog
from redis import Redis
from rq.cron import CronJob, CronScheduler
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer

from workers.jobs import credit, emotions, outbox
from workers.runtime import redis_required, start

log = structlog.get_logger(__name__)

QUEUE: Final = "periodic"
EXPIRE_OFFERS_SECONDS: Final = 60
CLEAN_UP_SECONDS: Final = 600
REMOVE_EVENTS_SECONDS: Final = 60
JOB_SECONDS_MAX: Final = 60
RESULT_SECONDS: Final = 600


class JsonCronJob(CronJob):
    """A periodic job whose message is JSON; RQ's own would be a pickle."""

    def enqueue(self, connection: Redis) -> Job:
        """Put the job on its queue."""
        queue = Queue(self.queue_name, connection=connection, serializer=JSONSerializer)
        return queue.enqueue_call(
            self.func_name,
            timeout=JOB_SECONDS_MAX,
            result_ttl=RESULT_SECONDS,
            failure_ttl=RESULT_SECONDS,
            description=self.name,
        )


def make_scheduler(connection: Redis) -> CronScheduler:
    """Return the scheduler of all periodic work."""
    scheduler = CronScheduler(connection=connection)
    scheduler.get_jobs().extend(
        [
            JsonCronJob(QUEUE, func=credit.expire_offers, interval=EXPIRE_OFFERS_SECONDS),
            JsonCronJob(QUEUE, func=emotions.remove_expired, interval=REMOVE_EVENTS_SECONDS),
            JsonCronJob(QUEUE, func=outbox.clean_up, interval=CLEAN_UP_SECONDS),
        ]
    )
    return scheduler


def main() -> None:
    """Run until told to stop."""
    settings, _ = start("cron")
    scheduler = make_scheduler(Redis.from_url(settings.redis_url))
    log.info("cron.started", jobs=[job.func_name for job in scheduler.get_jobs()])
    with redis_required():
        scheduler.start()  # type: ignore[no-untyped-call]  # RQ


if __name__ == "__main__":
    main()
