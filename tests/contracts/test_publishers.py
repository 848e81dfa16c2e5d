"""What every ``Publisher`` promises, tried on each one there is."""

import asyncio
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from ecs.bootstrap import JOB_FUNCTIONS
from ecs.domain.events import NotificationWritten, OfferAccepted, OutboxMessage
from ecs.integrations.rq_publisher import JOB_SECONDS_MAX, MAIL_JOB_SECONDS_MAX, RqPublisher
from ecs.services.exceptions import DestinationUnavailable


def a_message(**changes: object) -> OutboxMessage:
    values: dict[str, object] = {
        "id": uuid4(),
        "name": OfferAccepted.name,
        "kind": OfferAccepted.kind,
        "destination": OfferAccepted.destination,
        "payload": {"offer_id": str(uuid4())},
        "request_id": "req-1",
        "attempt": 1,
        "created_at": datetime.now(UTC),
    }
    return OutboxMessage(**(values | changes))  # type: ignore[arg-type]  # checked by the class


@pytest.fixture
def publisher(redis_url: str) -> Iterator[RqPublisher]:
    publisher = RqPublisher(redis_url, functions=JOB_FUNCTIONS)
    yield publisher
    publisher.close()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as connection:
        yield connection


def ids(redis: Redis, queue: str = "accounts") -> list[str]:
    return Queue(queue, connection=redis, serializer=JSONSerializer).job_ids


class TestPublisher:
    async def test_refuses_nothing_that_it_carried(self, publisher: RqPublisher) -> None:
        assert await publisher.publish([a_message(), a_message()]) == {}

    async def test_has_nothing_to_say_about_nothing(self, publisher: RqPublisher) -> None:
        assert await publisher.publish([]) == {}

    async def test_refuses_what_it_cannot_carry_and_carries_the_rest(
        self, publisher: RqPublisher, redis: Redis
    ) -> None:
        good, unknown, late = a_message(), a_message(kind="unheard_of"), a_message()
        refused = await publisher.publish([good, unknown, late])
        assert set(refused) == {unknown.id}
        assert "unheard_of" in refused[unknown.id]
        assert ids(redis) == [f"open_account-{message.id}-1" for message in (good, late)]

    async def test_says_so_when_nobody_answers_and_does_not_wait_long(self) -> None:
        publisher = RqPublisher("redis://127.0.0.1:1/0", functions=JOB_FUNCTIONS)
        started = time.monotonic()
        with pytest.raises(DestinationUnavailable):
            await publisher.publish([a_message()])
        assert time.monotonic() - started < 2.5
        publisher.close()

    async def test_says_so_when_the_other_side_hangs(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            publisher = RqPublisher(f"redis://127.0.0.1:{port}/0", functions=JOB_FUNCTIONS)
            started = time.monotonic()
            with pytest.raises(DestinationUnavailable):
                await publisher.publish([a_message()])
            assert time.monotonic() - started < 6
            publisher.close()

    async def test_does_not_stop_the_event_loop_while_it_waits(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            publisher = RqPublisher(f"redis://127.0.0.1:{port}/0", functions=JOB_FUNCTIONS)
            waiting = asyncio.create_task(publisher.publish([a_message()]))
            turns = 0
            while not waiting.done():
                await asyncio.sleep(0.01)
                turns += 1
            assert isinstance(waiting.exception(), DestinationUnavailable)
            assert turns > 20
            publisher.close()


class TestRqJobs:
    async def test_published_again_is_one_job(self, publisher: RqPublisher, redis: Redis) -> None:
        message = a_message()
        for _ in range(3):
            assert await publisher.publish([message, message]) == {}
        assert ids(redis) == [f"open_account-{message.id}-1"]

    async def test_each_attempt_is_a_job_of_its_own(
        self, publisher: RqPublisher, redis: Redis
    ) -> None:
        event_id = uuid4()
        await publisher.publish([a_message(id=event_id, attempt=n) for n in (1, 2)])
        assert ids(redis) == [f"open_account-{event_id}-{n}" for n in (1, 2)]

    async def test_go_to_the_queue_of_their_destination(
        self, publisher: RqPublisher, redis: Redis
    ) -> None:
        await publisher.publish([a_message(destination="rq:elsewhere")])
        assert (len(ids(redis)), len(ids(redis, "elsewhere"))) == (0, 1)

    async def test_carry_what_the_worker_needs_as_json(
        self, publisher: RqPublisher, redis: Redis
    ) -> None:
        message = a_message(trace_parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        await publisher.publish([message])
        job = Job.fetch(ids(redis)[0], connection=redis, serializer=JSONSerializer)
        assert job.func_name == JOB_FUNCTIONS[message.kind]
        assert job.kwargs == {
            **message.payload,
            "job_id": str(message.id),
            "request_id": "req-1",
            "trace_parent": message.trace_parent,
        }
        assert UUID(job.kwargs["job_id"]) == message.id
        assert job.timeout == JOB_SECONDS_MAX < MAIL_JOB_SECONDS_MAX
        assert 0 < (job.failure_ttl or 0) <= 86_400  # Not the year that RQ would keep it.

    async def test_give_a_mail_the_time_that_a_mail_server_may_take(
        self, publisher: RqPublisher, redis: Redis
    ) -> None:
        await publisher.publish(
            [a_message(kind=NotificationWritten.kind, destination=NotificationWritten.destination)]
        )
        job = Job.fetch(ids(redis, "mail")[0], connection=redis, serializer=JSONSerializer)
        assert job.timeout == MAIL_JOB_SECONDS_MAX
