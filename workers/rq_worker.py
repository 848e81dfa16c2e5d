"""An RQ worker for one queue: ``python -m workers.rq_worker accounts``."""

import argparse
from typing import Final

import structlog
from redis import Redis
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from ecs.domain.measures import JOB_KILLED
from ecs.domain.telemetry import Measures
from workers.jobs import credit, emotions, notifications, outbox
from workers.runtime import redis_required, start, watch_jobs

log = structlog.get_logger(__name__)

QUEUES: Final = ("accounts", "mail", "periodic")
# RQ waits ``worker_ttl`` - 15 seconds for a job before it looks after lost ones.
WORKER_TTL_SECONDS: Final = 20
HEARTBEAT_TTL_SECONDS: Final = 15
MONITORING_SECONDS: Final = 3
MAINTENANCE_SECONDS: Final = 5
PRELOADED: Final = (
    credit,
    emotions,
    notifications,
    outbox,
)  # Imported before forking, so that a job starts at once.


class EcsWorker(Worker):
    """
    A worker whose death is noticed within seconds.

    RQ's own heartbeat outlives the work by more than a minute. What a dead worker held is found
    by our sweeper in PostgreSQL; this only keeps RQ's registries honest.
    """

    def get_heartbeat_ttl(self, job: Job) -> int:  # noqa: ARG002  (RQ's signature)
        """Return for how long a job counts as alive after a sign of life."""
        return HEARTBEAT_TTL_SECONDS


def make_worker(queue: str, connection: Redis, measures: Measures) -> EcsWorker:
    """Return a worker of exactly one queue; with more, RQ hands jobs over less safely."""

    def count_killed(*_: object) -> None:
        measures.count(JOB_KILLED, queue=queue)

    return EcsWorker(
        [Queue(queue, connection=connection, serializer=JSONSerializer)],
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL_SECONDS,
        job_monitoring_interval=MONITORING_SECONDS,
        maintenance_interval=MAINTENANCE_SECONDS,
        log_job_description=False,
        work_horse_killed_handler=count_killed,
    )


def main() -> None:
    """Work until told to stop; the job in hand is finished first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("queue", choices=QUEUES)
    queue = parser.parse_args().queue
    settings, telemetry = start(f"rq-{queue}", forks=True)
    watch_jobs(telemetry)
    log.info("rq.worker-started", queue=queue)
    with redis_required():
        worker = make_worker(queue, Redis.from_url(settings.redis_url), telemetry.measures)
        worker.work(logging_level=None)
    log.info("rq.worker-stopped", queue=queue)


if __name__ == "__main__":
    main()
