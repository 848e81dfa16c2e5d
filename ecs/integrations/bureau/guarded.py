"""
What stands around a bureau: a limit on each wait, another try, and a breaker.

A bureau that is down must cost a batch of messages seconds, not minutes, and must not be flooded
when it comes back.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import CLOSED, OpenedState
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from ecs.domain.prequalification.application import CreditEnquiry
from ecs.integrations.exceptions import BureauUnavailable

log = structlog.get_logger(__name__)

# A timeout is an OSError, too. Whatever else goes wrong is a fault of ours: it will not pass.
OUTAGES: Final = (BureauUnavailable, OSError)
CIRCUIT: Final = "bureau"
STATE_CHANGED: Final = "state_changed"


class Guardable(Protocol):
    """A bureau that may be down, slow, or both."""

    name: str

    async def score(self, enquiry: CreditEnquiry) -> int:
        """Return a credit score, or raise whatever an outage raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """
    How long to wait and how often to ask.

    ``total_seconds`` holds for everything that one caller waits for, its turn included: so it
    holds for a whole batch that is asked about at once.
    """

    ask_seconds: float = 2.0
    total_seconds: float = 20.0
    tries: int = 3
    pause_seconds_max: float = 0.5
    asks_at_once: int = 20
    failures_max: int = 5
    open_seconds: float = 10.0


class GuardedBureau:
    """A bureau that answers within seconds: with a score, or that there is none to be had."""

    def __init__(self, bureau: Guardable, guards: Guards | None = None) -> None:
        self.name = bureau.name
        self._bureau = bureau
        self._guards = guards or Guards()
        self._turns = asyncio.Semaphore(self._guards.asks_at_once)
        self._alone = asyncio.Lock()
        self._breakers = AsyncCircuitBreakerFactory(
            default_threshold=self._guards.failures_max,
            default_ttl=self._guards.open_seconds,
            exclude=[(BaseException, lambda error: not isinstance(error, OUTAGES))],
        )
        self._breakers.add_listener(self._tell)

    async def score(self, enquiry: CreditEnquiry) -> int:
        """Return a credit score, or raise ``BureauUnavailable``, within ``total_seconds``."""
        try:
            async with asyncio.timeout(self._guards.total_seconds), self._turns:
                return await self._trying()(self._ask, enquiry)
        except OpenedState as error:
            # The breaker raises one object again and again: what it passed would pile up in it.
            error.__traceback__ = None
            raise BureauUnavailable("its breaker is open") from None
        except OUTAGES as error:
            raise BureauUnavailable(type(error).__name__) from None

    async def _ask(self, enquiry: CreditEnquiry) -> int:
        breaker = await self._breakers.get_breaker(CIRCUIT)
        if breaker.context.state != CLOSED:
            # One finds out whether it is back; the others hear of it.
            async with self._alone:
                if breaker.context.state != CLOSED:
                    return await self._ask_through(breaker, enquiry)
        return await self._ask_through(breaker, enquiry)

    async def _ask_through(
        self, breaker: AbstractAsyncContextManager[object], enquiry: CreditEnquiry
    ) -> int:
        async with breaker, asyncio.timeout(self._guards.ask_seconds):
            return await self._bureau.score(enquiry)

    def _trying(self) -> AsyncRetrying:
        """Return a new one each time: callers that run at once must not share its state."""
        pause = self._guards.pause_seconds_max
        return AsyncRetrying(
            stop=stop_after_attempt(self._guards.tries),
            wait=wait_random_exponential(multiplier=pause / 4, max=pause),
            retry=retry_if_exception_type(OUTAGES),
            reraise=True,
        )

    def _tell(self, _circuit: str, kind: str, event: Any) -> None:
        if kind == STATE_CHANGED:
            log.warning("bureau.breaker-changed", bureau=self.name, state=event.state)
