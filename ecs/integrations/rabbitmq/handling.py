"""What becomes of a batch: handled together, else one by one; what cannot be used is buried."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final
from uuid import UUID

import structlog

from ecs.domain.streams import DeadLetter, Delivery, OutgoingMessage, letter_id
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
UNPROCESSABLE: Final = "unprocessable"

Handle = Callable[[Sequence[Delivery]], Awaitable[Sequence[DeadLetter]]]
"""Does what the messages ask for, commits, and returns what it could not use."""

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
    dead_queue: str
    pauses_seconds: Sequence[float] = PAUSES_SECONDS
    handle_seconds_max: float = HANDLE_SECONDS_MAX

    async def letters_of(self, deliveries: Sequence[Delivery]) -> list[DeadLetter]:
        """
        Return what of a handled batch cannot be used.

        Raises:
            HandlerStuck: the handler took more than a minute.
        """
        failure: Exception | None = None
        for _ in range(TRIES):
            try:
                return await self._patiently(deliveries)
            except HandlerStuck:
                raise
            except Exception as error:
                log.exception("stream.handler-failed", messages=len(deliveries))
                failure = error
        if len(deliveries) == 1 and failure is not None:
            return [unprocessable(deliveries[0], failure)]
        return [letter for alone in deliveries for letter in await self.letters_of([alone])]

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Return when every letter is confirmed by the dead queue; never give one up."""
        # By windows: in each an id means one letter, and what is confirmed is told by ids.
        for window in windows([as_message(letter) for letter in letters]):
            await self._bury_window(window)

    def pauses(self) -> Iterator[float]:
        """Return how long to wait after each failure; the last one goes on for ever."""
        return chain(self.pauses_seconds, repeat(self.pauses_seconds[-1]))

    async def _bury_window(self, window: Sequence[OutgoingMessage]) -> None:
        left = window
        for pause in self.pauses():
            unburied = await self._unburied(left)
            left = [message for message in left if message.message_id in unburied]
            if not left:
                return
            reason = unburied[left[0].message_id]
            log.warning("stream.burial-delayed", queue=self.dead_queue, left=len(left), why=reason)
            await asyncio.sleep(pause)

    async def _patiently(self, deliveries: Sequence[Delivery]) -> list[DeadLetter]:
        for pause in self.pauses():
            try:
                return list(await self._in_time(deliveries))
            except self.passing as error:
                why = type(error).__name__
                log.warning("stream.batch-held", messages=len(deliveries), why=why, pause_s=pause)
                await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _in_time(self, deliveries: Sequence[Delivery]) -> Sequence[DeadLetter]:
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

    async def _unburied(self, messages: Sequence[OutgoingMessage]) -> dict[UUID, str]:
        try:
            return dict(await self.publisher.publish(messages, to=self.dead_queue))
        except PublishInterrupted as error:
            ids = {message.message_id for message in messages} - error.confirmed
            return dict.fromkeys(ids, str(error))
        except DestinationUnavailable as error:
            return dict.fromkeys((message.message_id for message in messages), str(error))


def unprocessable(delivery: Delivery, error: Exception) -> DeadLetter:
    """Return the letter of a message that fails alone. The error's text may quote it: left out."""
    return DeadLetter(
        message_id=letter_id(delivery, position=None, body=delivery.body),
        body=delivery.body,
        code=UNPROCESSABLE,
        reason=f"handling it failed with {type(error).__name__}",
        client=delivery.app_id,
    )


def as_message(letter: DeadLetter) -> OutgoingMessage:
    """Return a dead letter as what goes into the dead queue."""
    client = _writable(letter.client or "")
    headers = {
        CODE_HEADER: letter.code,
        REASON_HEADER: _writable(letter.reason)[:REASON_CHARACTERS_MAX],
        CLIENT_HEADER: client,
    }
    is_short = 0 < len(client.encode()) <= APP_ID_BYTES_MAX
    return OutgoingMessage(
        message_id=letter.message_id,
        body=letter.body,
        app_id=client if is_short else None,
        headers=headers,
    )


def _writable(text: str) -> str:
    """Replace what UTF-8 cannot hold: half a surrogate pair may have come out of JSON."""
    return text.encode(errors="replace").decode()
