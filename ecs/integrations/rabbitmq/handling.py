"""What becomes of a batch: handled together, else one by one; what is left is put aside."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.streams import (
    JSON,
    DeadLetter,
    Delivery,
    Left,
    OutgoingMessage,
    Postponed,
    Stream,
    dead_letter_of,
    lasting_id,
)
from ecs.integrations.exceptions import (
    DestinationUnavailable,
    HandlerStuck,
    PublishInterrupted,
)
from ecs.integrations.rabbitmq.connection import abandon
from ecs.integrations.rabbitmq.publisher import StreamPublisher, windows

log = structlog.get_logger(__name__)

PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 5.0)
# A refusal may be a coincidence of that moment, such as a person deleted meanwhile.
TRIES: Final = 2
HANDLE_SECONDS_MAX: Final = 60.0
ROLL_BACK_SECONDS: Final = 5.0
REASON_CHARACTERS_MAX: Final = 500
APP_ID_BYTES_MAX: Final = 255
CODE_HEADER: Final = "x-ecs-code"
REASON_HEADER: Final = "x-ecs-reason"
CLIENT_HEADER: Final = "x-ecs-client"
ATTEMPT_HEADER: Final = "x-ecs-attempt"
UNPROCESSABLE: Final = "unprocessable"

Handle = Callable[[Sequence[Delivery]], Awaitable[Sequence[Left]]]
"""Does what the messages ask for, commits, and returns what it could not use, or not yet."""

CanWork = Callable[[], Awaitable[bool]]
"""Says whether handling has a chance; never raises, and answers soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """
    Handles batches of one stream.

    ``passing`` are the errors after which the same batch is tried again, for as long as it takes;
    while ``can_work`` says no, nothing is taken from the stream. Whoever cancels it gives the batch
    up; the broker will deliver it again.
    """

    handle: Handle
    can_work: CanWork
    passing: tuple[type[Exception], ...]
    publisher: StreamPublisher
    stream: Stream
    pauses_seconds: Sequence[float] = PAUSES_SECONDS
    handle_seconds_max: float = HANDLE_SECONDS_MAX

    async def left_of(self, deliveries: Sequence[Delivery]) -> list[Left]:
        """
        Return what is left of a handled batch; what was postponed too often is dead.

        Raises:
            HandlerStuck: the handler took more than a minute.
        """
        failure: Exception | None = None
        for _ in range(TRIES):
            try:
                return [self._or_dead(left) for left in await self._patiently(deliveries)]
            except HandlerStuck:
                raise
            except Exception as error:
                log.exception("stream.handler-failed", messages=len(deliveries))
                failure = error
        if len(deliveries) == 1 and failure is not None:
            return [unprocessable(deliveries[0], failure, stream=self.stream)]
        return [left for alone in deliveries for left in await self.left_of([alone])]

    async def put_aside(self, left: Sequence[Left]) -> None:
        """Return when the broker has confirmed it all, in the queues it belongs into."""
        by_queue: dict[str, list[OutgoingMessage]] = {}
        for one in left:
            by_queue.setdefault(self._queue_of(one), []).append(self._message_of(one))
        for queue, messages in by_queue.items():
            # By windows: in each an id means one letter, and what is confirmed is told by ids.
            for window in windows(messages):
                await self._put_window(window, queue)

    def pauses(self) -> Iterator[float]:
        """Return how long to wait after each failure; the last one goes on for ever."""
        return chain(self.pauses_seconds, repeat(self.pauses_seconds[-1]))

    def _or_dead(self, left: Left) -> Left:
        if isinstance(left, DeadLetter) or self._pause_of(left) is not None:
            return left
        return dead_letter_of(left.delivery, stream=self.stream, code=left.code, reason=left.reason)

    def _pause_of(self, postponed: Postponed) -> int | None:
        return self.stream.pause_seconds(postponed.delivery.attempt)

    def _queue_of(self, left: Left) -> str:
        if isinstance(left, DeadLetter):
            return self.stream.dead_queue
        seconds = self._pause_of(left)
        assert seconds is not None, "whoever may not be postponed again is dead"
        return self.stream.retry_queue(seconds)

    def _message_of(self, left: Left) -> OutgoingMessage:
        if isinstance(left, DeadLetter):
            return as_message(left, content_type=self.stream.content_type)
        return OutgoingMessage(
            message_id=lasting_id(left.delivery, stream=self.stream),
            body=left.delivery.body,
            app_id=_app_id(left.delivery.app_id or ""),
            content_type=self.stream.content_type,
            headers={ATTEMPT_HEADER: left.delivery.attempt + 1},
        )

    async def _put_window(self, window: Sequence[OutgoingMessage], queue: str) -> None:
        """Publish until all is confirmed; never give one up."""
        left = window
        for pause in self.pauses():
            refused = await self._refused(left, queue)
            left = [message for message in left if message.message_id in refused]
            if not left:
                return
            reason = refused[left[0].message_id]
            log.warning("stream.burial-delayed", queue=queue, left=len(left), why=reason)
            await asyncio.sleep(pause)

    async def _patiently(self, deliveries: Sequence[Delivery]) -> list[Left]:
        for pause in self.pauses():
            try:
                return list(await self._in_time(deliveries))
            except self.passing as error:
                why = type(error).__name__
                log.warning("stream.batch-held", messages=len(deliveries), why=why, pause_s=pause)
                await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _in_time(self, deliveries: Sequence[Delivery]) -> Sequence[Left]:
        task = asyncio.ensure_future(self.handle(deliveries))
        try:
            await asyncio.wait({task}, timeout=self.handle_seconds_max)
        except asyncio.CancelledError:
            abandon(task)
            await asyncio.wait({task}, timeout=ROLL_BACK_SECONDS)
            raise
        if not task.done():
            abandon(task)
            raise HandlerStuck(f"a batch took more than {self.handle_seconds_max:g} s")
        return task.result()

    async def _refused(self, messages: Sequence[OutgoingMessage], queue: str) -> dict[UUID, str]:
        try:
            return dict(await self.publisher.publish(messages, to=queue))
        except PublishInterrupted as error:
            ids = {message.message_id for message in messages} - error.confirmed
            return dict.fromkeys(ids, str(error))
        except DestinationUnavailable as error:
            return dict.fromkeys((message.message_id for message in messages), str(error))


def unprocessable(delivery: Delivery, error: Exception, *, stream: Stream) -> DeadLetter:
    """Return the letter of a message that fails alone. The error's text may quote it: left out."""
    reason = f"handling it failed with {type(error).__name__}"
    return dead_letter_of(delivery, stream=stream, code=UNPROCESSABLE, reason=reason)


def as_message(letter: DeadLetter, *, content_type: str = JSON) -> OutgoingMessage:
    """Return a dead letter as what goes into the dead queue."""
    client = _writable(letter.client or "")
    headers: dict[str, str | int] = {
        CODE_HEADER: letter.code,
        REASON_HEADER: _writable(letter.reason)[:REASON_CHARACTERS_MAX],
        CLIENT_HEADER: client,
    }
    return OutgoingMessage(
        message_id=letter.message_id,
        body=letter.body,
        app_id=_app_id(client),
        content_type=content_type,
        headers=headers,
    )


def _app_id(client: str) -> str | None:
    return client if 0 < len(client.encode()) <= APP_ID_BYTES_MAX else None


def _writable(text: str) -> str:
    """Replace what UTF-8 cannot hold: half a surrogate pair may have come out of JSON."""
    return text.encode(errors="replace").decode()
