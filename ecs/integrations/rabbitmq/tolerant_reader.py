"""Reads frames of which one has properties that the client library cannot read."""

import asyncio
from typing import Final

from pamqp.header import ContentHeader

HEADER_FRAME: Final = b"\x02"
FRAME_PARTS: Final = ("type", "channel and length", "payload")
# Class, weight and size of the body; two bytes behind them say which properties follow.
FIXED_BYTES: Final = 12
NO_PROPERTIES: Final = b"\x00\x00"


class TolerantReader:
    """
    A stream reader that empties unreadable properties.

    A timestamp in nanoseconds or a name that is not UTF-8 would otherwise end the connection, again
    with each redelivery, for every message that was on its way together with it. Without its
    properties a message is still delivered, and judged like any other.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._part = 0
        self._kind = b""

    def at_eof(self) -> bool:
        """Return whether nothing will come any more."""
        return self._reader.at_eof()

    async def read(self, count: int = -1) -> bytes:
        """Return what is there."""
        return await self._reader.read(count)

    async def readexactly(self, count: int) -> bytes:
        """Return the next part of a frame; the library asks for one part at a time."""
        data = await self._reader.readexactly(count)
        part, self._part = FRAME_PARTS[self._part], (self._part + 1) % len(FRAME_PARTS)
        if part == "type":
            self._kind = data
        if part == "payload" and self._kind == HEADER_FRAME:
            return readable(data)
        return data


def readable(payload: bytes) -> bytes:
    """Return a content header as it is, or as long but without properties if it is unreadable."""
    try:
        ContentHeader().unmarshal(payload[:-1])
    except Exception:  # noqa: BLE001  (the bytes come from anybody, the decoder raises anything)
        return payload[:FIXED_BYTES] + NO_PROPERTIES + payload[FIXED_BYTES + 2 :]
    return payload
