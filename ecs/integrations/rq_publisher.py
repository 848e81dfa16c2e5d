"""Hands events to RQ: a queue in Redis a destination, a job an event."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.serializers import JSONSerializer

from ecs.domain.events import NotificationWritten, OutboxMessage
from ecs.integrations.exceptions import DestinationUnavailable

JOB_SECONDS_MAX: Final = 30
# Longer than the mailer's own limits together: no letter is cut off while its answer is awaited.
MAIL_JOB_SECONDS_MAX: Final = 150
SECONDS_MAX_BY_KIND: Final = {NotificationWritten.kind: MAIL_JOB_SECONDS_MAX}
RESULT_SECONDS: Final = 3600
SCHEME: Final = "rq:"


class RqPublisher:
    """
    Enqueues jobs by dotted name, without knowing the workers' code.

    The id of a job is ``<kind>-<event id>-<attempt>``; one that is there already counts as done,
    because a lost answer looks the same (and because a copy does no harm).
    """

    def __init__(self, redis_url: str, *, functions: Mapping[str, str]) -> None:
        self._functions = functions
        # Fails at once: the relay has its own patience, and one retry too many is a second job.
        self._redis = Redis.from_url(
            redis_url,
            socket_connect_timeout=1,
            socket_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )

    async def publish(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, str]:
        """Enqueue each message; return why some never can be."""
        return await asyncio.to_thread(self._publish, messages)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _publish(self, messages: Sequence[OutboxMessage]) -> dict[UUID, str]:
        try:
            answers = {message.id: self._enqueue(message) for message in messages}
        except RedisError as error:
            raise DestinationUnavailable(type(error).__name__) from error
        return {message_id: reason for message_id, reason in answers.items() if reason}

    def _enqueue(self, message: OutboxMessage) -> str | None:
        """Return why the message never can be a job, or None when it is one."""
        if message.kind not in self._functions:
            return f"no job is called {message.kind}"
        queue = Queue(
            message.destination.removeprefix(SCHEME),
            connection=self._redis,
            serializer=JSONSerializer,
        )
        try:
            queue.enqueue_call(
                self._functions[message.kind],
                kwargs={
                    **message.payload,
                    "job_id": str(message.id),
                    "request_id": message.request_id,
                    "trace_parent": message.trace_parent,
                },
                job_id=f"{message.kind}-{message.id}-{message.attempt}",
                unique=True,
                timeout=SECONDS_MAX_BY_KIND.get(message.kind, JOB_SECONDS_MAX),
                result_ttl=RESULT_SECONDS,
                failure_ttl=RESULT_SECONDS,
                description=message.kind,
            )
        except DuplicateJobError:
            return None
        except (TypeError, ValueError) as error:  # It cannot be written as JSON.
            return type(error).__name__
        return None
