"""How the consumers of prequalification translate: messages in, what is left of them out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import structlog

from ecs.bootstrap import Application
from ecs.domain.prequalification.pipeline import PASSING, ReportNotice, SubmissionNotice, Verdict
from ecs.domain.streams import DeadLetter, Delivery, Postponed, Stream, dead_letter_of
from ecs.services.readiness_service import Readiness
from ecs.wire.domain_events import NotAnEvent
from ecs.wire.prequalification import EXPLANATIONS

log = structlog.get_logger(__name__)

Message = TypeVar("Message", SubmissionNotice, ReportNotice)

Left = DeadLetter | Postponed
"""What of a batch is not done with."""

TOLD: Final = "prequalification.message-left"


async def handle(
    deliveries: Sequence[Delivery],
    *,
    stream: Stream,
    read: Callable[[bytes], Message],
    use: Callable[[Sequence[Message]], Awaitable[Mapping[Message, Verdict]]],
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
    verdicts = await use([message for _, message in readable]) if readable else {}
    for delivery, message in readable:
        if verdicts[message] is not Verdict.DONE:
            left.append(_left(delivery, message, verdicts[message], stream))
    return left


async def can_work(ecs: Application) -> bool:
    """Return whether the database answers and has the schema that this code needs."""
    verdict, _ = await ecs.readiness.check()
    return verdict is not Readiness.UNAVAILABLE


def _left(
    delivery: Delivery, message: SubmissionNotice | ReportNotice, verdict: Verdict, stream: Stream
) -> Left:
    log.warning(
        TOLD,
        code=verdict.value,
        event_id=str(message.event_id),
        application_id=str(message.application_id),
        request_id=message.request_id,
        attempt=delivery.attempt,
    )
    reason = EXPLANATIONS[verdict]
    if verdict in PASSING:
        return Postponed(delivery=delivery, code=verdict.value, reason=reason)
    return dead_letter_of(delivery, stream=stream, code=verdict.value, reason=reason)
