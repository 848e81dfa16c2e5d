"""What is measured of each batch: by a consumer at work, and as a law of the outcomes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.adapters.blocking_connection import BlockingChannel

from ecs.config import RabbitSettings
from ecs.domain.streams import CREDIT_REPORTS, Delivery, Left, Postponed, Stream
from ecs.integrations.rabbitmq.connection import Broker
from ecs.integrations.rabbitmq.intake import BatchLimits
from ecs.integrations.rabbitmq.stream_measures import age_seconds, outcomes
from ecs.integrations.telemetry.prometheus import PrometheusMeasures
from tests.amqp import send, take_all
from tests.contracts.streams_support import (
    Recorder,
    a_consumer,
    a_letter,
    broker_of,
    copied,
    running,
    until,
)
from tests.exposition import value_of
from tests.tcp_proxy import wire_to

NOW: Final = datetime(2026, 11, 21, 18, tzinfo=UTC)
NANOSECONDS: Final = 1_795_000_000_000_000_000
# A batch as soon as all is there, and no sooner.
THREE: Final = BatchLimits(messages_max=3, seconds_max=60)
bodies = st.sampled_from([b"a", b"b", b"c"])


def a_delivery(body: bytes = b"{}") -> Delivery:
    return Delivery(body=body, app_id="a-client", message_id=None, redelivered=False)


def postponed(delivery: Delivery) -> Postponed:
    return Postponed(delivery=delivery, code="bureau_unavailable", reason="later")


class TestBatch:
    async def test_is_measured_once_it_is_acknowledged(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        measures, recorder = PrometheusMeasures(), Recorder()
        recorder.dead.add(b"bad")
        async with running(a_consumer(broker, stream, recorder, batch=THREE, measures=measures)):
            send(device, stream, b"good", b"bad", b"good too")
            await until(lambda: _batches(measures, stream) == 1, what="the measures of a batch")
        queue = stream.queue
        assert _messages(measures, stream) == {"done": 2, "dead": 1}
        assert shown(measures, "ecs_stream_dead_letters_total", queue=queue, code="malformed") == 1
        assert shown(measures, "ecs_stream_batch_messages_sum", queue=queue) == 3
        assert shown(measures, "ecs_stream_batch_seconds_count", queue=queue) == 1
        assert shown(measures, "ecs_stream_redelivered_total", queue=queue) == 0
        assert len(take_all(device, stream.dead_queue)) == 1

    async def test_that_was_given_up_is_measured_when_it_comes_again(
        self, broker: Broker, stream: Stream, device: BlockingChannel, rabbitmq: RabbitSettings
    ) -> None:
        measures = PrometheusMeasures()
        async with wire_to(rabbitmq.host, rabbitmq.port) as wire:

            async def cut_at_first(deliveries: Sequence[Delivery]) -> None:
                if not deliveries[0].redelivered:
                    wire.cut()
                    await asyncio.Event().wait()  # Until the consumer gives the batch up.

            consumer = a_consumer(
                broker_of(rabbitmq, port=wire.port),
                stream,
                Recorder(cut_at_first),
                batch=THREE,
                measures=measures,
            )
            async with running(consumer):
                send(device, stream, b"0", b"1", b"2")
                await until(lambda: _batches(measures, stream) == 1, what="the measures of a batch")
        assert _messages(measures, stream) == {"done": 3}
        assert shown(measures, "ecs_stream_redelivered_total", queue=stream.queue) == 3

    async def test_that_is_postponed_is_that_until_it_is_dead(
        self, rabbitmq: RabbitSettings, device: BlockingChannel
    ) -> None:
        async def later(deliveries: Sequence[Delivery]) -> list[Left]:
            return [postponed(delivery) for delivery in deliveries]

        measures = PrometheusMeasures()
        async with copied(CREDIT_REPORTS, rabbitmq) as stream:
            consumer = a_consumer(broker_of(rabbitmq), stream, later, measures=measures)
            async with running(consumer):
                moment = datetime.now(UTC) - timedelta(hours=1)
                send(device, stream, b"{}", timestamp=int(moment.timestamp()))
                await until(lambda: _batches(measures, stream) == 3, what="two retries")
            queue, code = stream.queue, "bureau_unavailable"
            assert _messages(measures, stream) == {"postponed": 2, "dead": 1}
            assert shown(measures, "ecs_stream_dead_letters_total", queue=queue, code=code) == 1
            # What a message waited in our own retry queues is nobody's lag.
            assert shown(measures, "ecs_stream_message_age_seconds_count", queue=queue) == 1
            assert shown(
                measures, "ecs_stream_message_age_seconds_sum", queue=queue
            ) == pytest.approx(3600, abs=30)


class TestAge:
    async def test_is_measured_where_the_sender_tells_something_that_can_be_true(
        self, broker: Broker, stream: Stream, device: BlockingChannel
    ) -> None:
        measures, recorder = PrometheusMeasures(), Recorder()
        now = int(datetime.now(UTC).timestamp())
        moments = [now - 60, 0, 2**63 - 1, 2**64 - 1, NANOSECONDS, now * 1000, now + 86_400]
        limits = BatchLimits(messages_max=8, seconds_max=60)
        async with running(a_consumer(broker, stream, recorder, batch=limits, measures=measures)):
            send(device, stream, b"silent")
            for moment in moments:
                send(device, stream, b"told", timestamp=moment)
            await until(lambda: _batches(measures, stream) == 1, what="the measures of a batch")
        queue = stream.queue
        assert _messages(measures, stream) == {"done": 8}
        # The minute, and the milliseconds, which the client library understands.
        assert shown(measures, "ecs_stream_message_age_seconds_count", queue=queue) == 2
        seconds = shown(measures, "ecs_stream_message_age_seconds_sum", queue=queue)
        assert seconds == pytest.approx(60, abs=30)

    @pytest.mark.parametrize(
        ("sent_before", "seconds"),
        [
            pytest.param(timedelta(seconds=2.5), 2.5, id="past"),
            pytest.param(timedelta(seconds=-10), 0, id="a clock ahead"),
            pytest.param(timedelta(seconds=-11), None, id="future"),
            pytest.param(timedelta(days=30), 30 * 86_400, id="a long outage"),
            pytest.param(timedelta(days=30, seconds=1), None, id="nonsense"),
        ],
    )
    def test_is_never_negative(self, sent_before: timedelta, seconds: float | None) -> None:
        assert age_seconds(NOW - sent_before, now=NOW) == seconds
        assert age_seconds(None, now=NOW) is None


class TestOutcomes:
    @given(st.lists(st.tuples(bodies, st.sampled_from(["done", "dead", "postponed"]))))
    def test_are_each_messages_own(self, fates: list[tuple[bytes, str]]) -> None:
        deliveries = [a_delivery(body) for body, _ in fates]
        left: list[Left] = []
        for delivery, (_, fate) in zip(deliveries, fates, strict=True):
            if fate == "dead":
                left.append(a_letter(delivery))
            elif fate == "postponed":
                left.append(postponed(delivery))
        assert +outcomes(deliveries, left) == Counter(fate for _, fate in fates)

    @given(st.lists(bodies), st.lists(bodies), st.lists(bodies))
    def test_are_as_many_as_there_were_messages_whatever_is_left(
        self, taken: list[bytes], dead: list[bytes], later: list[bytes]
    ) -> None:
        left = [a_letter(a_delivery(body)) for body in dead]
        found = outcomes(
            [a_delivery(body) for body in taken],
            [*left, *(postponed(a_delivery(body)) for body in later)],
        )
        assert found.total() == len(taken)
        assert min(found.values()) >= 0

    def test_of_a_message_with_dead_parts_is_done(self) -> None:
        whole = a_delivery(b'[{"event_id":"' + str(uuid4()).encode() + b'"},{},{}]')
        parts = [a_letter(a_delivery(b"{}")) for _ in range(2)]
        assert +outcomes([whole], parts) == {"done": 1}


def shown(measures: PrometheusMeasures, name: str, **labels: str) -> float | None:
    return value_of(measures.exposition(), name, **labels)


def _batches(measures: PrometheusMeasures, stream: Stream) -> float | None:
    return shown(measures, "ecs_stream_batch_messages_count", queue=stream.queue)


def _messages(measures: PrometheusMeasures, stream: Stream) -> dict[str, float]:
    found = {
        outcome: shown(measures, "ecs_stream_messages_total", queue=stream.queue, outcome=outcome)
        for outcome in ("done", "postponed", "dead")
    }
    return {outcome: value for outcome, value in found.items() if value}
