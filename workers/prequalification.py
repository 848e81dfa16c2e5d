"""What the consumers of prequalification share: how they serve, and how they translate."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog

from ecs.bootstrap import Application, application
from ecs.domain.prequalification.pipeline import PASSING, ReportNotice, SubmissionNotice, Verdict
from ecs.domain.streams import Delivery, Left, Postponed, Stream, dead_letter_of
from ecs.domain.telemetry import Traces
from ecs.streaming import PROMPT, stream_consumer
from ecs.wire.domain_events import NotAnEvent
from ecs.wire.prequalification import EXPLANATIONS
from workers.runtime import start, stop_event
from workers.streams import can_work, consume

log = structlog.get_logger(__name__)

Message = TypeVar("Message", SubmissionNotice, ReportNotice)

CONNECTIONS: Final = 3
TOLD: Final = "prequalification.message-left"


class Use(Protocol):
    """What a consumer does with a batch."""

    async def __call__(
        self, ecs: Application, deliveries: Sequence[Delivery], *, traces: Traces
    ) -> list[Left]:
        """Use what can be used; return the messages that are left."""


async def handle(
    deliveries: Sequence[Delivery],
    *,
    stream: Stream,
    read: Callable[[bytes], Message],
    use: Callable[[Sequence[Message]], Awaitable[Mapping[Message, Verdict]]],
    traces: Traces,
) -> list[Left]:
    """Give the messages of a batch to a use case; return what cannot be used, or not yet."""
    left: list[Left] = []
    readable: list[tuple[Delivery, Message]] = []
    for delivery in deliveries:
        try:
            readable.append((delivery, read(delivery.body)))
        except NotAnEvent as error:
            log.warning(TOLD, code=error.code, message_id=delivery.message_id)
            left.append(
                dead_letter_of(delivery, stream=stream, code=error.code, reason=error.reason)
            )
    messages = [message for _, message in readable]
    verdicts = await _used(messages, use, stream, traces) if messages else {}
    for delivery, message in readable:
        if verdicts[message] is not Verdict.DONE:
            left.append(_left(delivery, message, verdicts[message], stream))
    return left


async def serve(
    service: str,
    *,
    stream: Stream,
    use: Use,
) -> None:
    """Take a stream's messages until told to stop; what was taken by then is finished first."""
    settings, telemetry = start(service)
    async with application(
        settings, name=service, connections=CONNECTIONS, telemetry=telemetry
    ) as ecs:
        consumer = stream_consumer(
            settings,
            stream=stream,
            handle=partial(use, ecs, traces=telemetry.traces),
            can_work=partial(can_work, ecs),
            pace=PROMPT,
            measures=telemetry.measures,
        )
        await consume(consumer, stop_event())


async def _used(
    messages: Sequence[Message],
    use: Callable[[Sequence[Message]], Awaitable[Mapping[Message, Verdict]]],
    stream: Stream,
    traces: Traces,
) -> Mapping[Message, Verdict]:
    parents = [message.cause.trace_parent for message in messages]
    with traces.span(f"handle {stream.queue}", parents=parents):
        return await use(messages)


def _left(
    delivery: Delivery, message: SubmissionNotice | ReportNotice, verdict: Verdict, stream: Stream
) -> Left:
    log.warning(
        TOLD,
        code=verdict.value,
        event_id=str(message.event_id),
        application_id=str(message.application_id),
        request_id=message.cause.request_id,
        attempt=delivery.attempt,
    )
    reason = EXPLANATIONS[verdict]
    if verdict in PASSING:
        return Postponed(delivery=delivery, code=verdict.value, reason=reason)
    return dead_letter_of(delivery, stream=stream, code=verdict.value, reason=reason)
