"""
How large a request may be, and how slowly it may come. Pure ASGI, like all that surrounds it.

Nginx has limits of its own for what comes through it; these hold whatever the way. A body that
trickles in byte by byte is one that only this process cuts: Nginx waits anew after each byte.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecs.api.error_handlers import problem_of_status
from ecs.api.problem import render

# A 408 leaves the rest of the body unread: this connection can carry no other request.
CLOSE: Final = {"Connection": "close"}
# Whoever is refused before his body was read may still send it, but not for long.
DRAIN_SECONDS_MAX: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The largest and the slowest request that is read."""

    address_bytes_max: int = 8_192
    header_lines_max: int = 100
    header_bytes_max: int = 32_768
    body_bytes_max: int = 1_048_576
    # A body has this long, and a second more for each so many bytes that have come.
    body_seconds_max: float = 20.0
    body_bytes_per_second_min: int = 16_384


class RequestLimitsMiddleware:
    """
    Refuses requests beyond the limits, with what is declared and again with what comes.

    Starlette's own limit answers a declared body in plain text, whatever the handlers say.
    """

    def __init__(self, app: ASGIApp, *, limits: RequestLimits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the first limit that the head of the request breaks, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = next(self._broken_by_head(scope), None)
        if status is not None:
            await render(problem_of_status(status), scope=scope)(scope, receive, send)
            return
        arrival = _Arrival(receive, self.limits, comes=_has_body(scope))

        async def send_behind_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await arrival.drain()
            await send(message)

        await self.app(scope, arrival.receive, send_behind_body)

    def _broken_by_head(self, scope: Scope) -> Iterator[int]:
        lines: list[tuple[bytes, bytes]] = scope["headers"]
        if len(scope["raw_path"]) + len(scope["query_string"]) > self.limits.address_bytes_max:
            yield 414
        if len(lines) > self.limits.header_lines_max:
            yield 431
        if sum(len(name) + len(value) for name, value in lines) > self.limits.header_bytes_max:
            yield 431
        if _declared_bytes(scope) > self.limits.body_bytes_max:
            yield 413


class _Arrival:
    """The body of one request as it comes in."""

    def __init__(self, receive: Receive, limits: RequestLimits, *, comes: bool) -> None:
        self._receive = receive
        self._limits = limits
        self._comes = comes
        self._seen_bytes = 0
        self._started_at: float | None = None
        self._complete = False

    async def receive(self) -> Message:
        """Return the next message; FastAPI passes this kind of exception on wherever it reads."""
        if self._complete:  # What is awaited now is the end of the connection.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline()):
                message = await self._receive()
        except TimeoutError:
            self._comes = False
            raise HTTPException(status_code=408, headers=CLOSE) from None
        self._complete = not message.get("more_body", False)
        self._seen_bytes += len(message.get("body", b""))
        if self._seen_bytes > self._limits.body_bytes_max:
            self._comes = False
            raise HTTPException(status_code=413)
        return message

    async def drain(self) -> None:
        """
        Take in what nobody has read, if it comes soon, before the answer leaves.

        Nginx passes an answer that overtakes its body on as one after which the connection stays,
        and closes it: the client's next request would be lost.
        """
        with suppress(TimeoutError, HTTPException):
            async with asyncio.timeout(DRAIN_SECONDS_MAX):
                while self._comes and not self._complete:
                    await self.receive()

    def _deadline(self) -> float:
        if self._started_at is None:
            self._started_at = asyncio.get_running_loop().time()
        earned_seconds = self._seen_bytes / self._limits.body_bytes_per_second_min
        return self._started_at + self._limits.body_seconds_max + earned_seconds


def _has_body(scope: Scope) -> bool:
    return _declared_bytes(scope) > 0 or "transfer-encoding" in Headers(scope=scope)


def _declared_bytes(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "")
    return int(text[:20]) if text.isascii() and text.isdecimal() else 0
