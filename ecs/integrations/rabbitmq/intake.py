"""Cuts a stream of messages into batches: by number, by size, by time."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

BATCH_MESSAGES_MAX: Final = 500
BATCH_BYTES_MAX: Final = 1024 * 1024
BATCH_SECONDS_MAX: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """A batch is ready as soon as one of these is reached; a larger message is a batch alone."""

    messages_max: int = BATCH_MESSAGES_MAX
    bytes_max: int = BATCH_BYTES_MAX
    seconds_max: float = BATCH_SECONDS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting(Generic[T]):
    message: T
    size: int
    came_at: float


class Intake(Generic[T]):
    """What has come and was not handed on yet, in order."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._waiting: deque[_Waiting[T]] = deque()
        self._bytes = 0
        self._handed_on = 0
        self.taken = 0
        self._is_finishing = False
        self._some = asyncio.Event()
        self._enough = asyncio.Event()

    @property
    def in_hand(self) -> int:
        """How many messages wait, or are in the batch that was returned last."""
        return len(self._waiting) + self._handed_on

    def put(self, message: T, *, size: int) -> None:
        """Take a message in; ``size`` is its body's, in bytes."""
        came_at = asyncio.get_running_loop().time()
        self._waiting.append(_Waiting(message=message, size=size, came_at=came_at))
        self._bytes += size
        self.taken += 1
        self._tell()

    def finish(self) -> None:
        """Have no batch waited for any more: nothing further will come."""
        self._is_finishing = True
        self._tell()

    async def batch(self) -> tuple[list[T], float]:
        """Return the next batch and how many seconds it waited; an empty one is the last."""
        self._handed_on = 0
        await self._some.wait()
        if not self._waiting:
            return [], 0.0
        first_at = self._waiting[0].came_at
        loop = asyncio.get_running_loop()
        await self._enough_until(first_at + self._limits.seconds_max)
        return self._cut(), loop.time() - first_at

    async def _enough_until(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._enough.wait()
        except TimeoutError:
            return

    def _cut(self) -> list[T]:
        taken: list[T] = []
        size = 0
        while self._waiting and len(taken) < self._limits.messages_max:
            size += self._waiting[0].size
            if taken and size > self._limits.bytes_max:
                break
            item = self._waiting.popleft()
            self._bytes -= item.size
            taken.append(item.message)
        self._handed_on = len(taken)
        self._tell()
        return taken

    def _tell(self) -> None:
        is_enough = (
            self._is_finishing
            or len(self._waiting) >= self._limits.messages_max
            or self._bytes >= self._limits.bytes_max
        )
        _turn(self._some, on=self._is_finishing or bool(self._waiting))
        _turn(self._enough, on=is_enough)


def _turn(event: asyncio.Event, *, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()
