"""Properties that cannot be read are emptied; anything else passes untouched."""

import asyncio
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from ecs.integrations.rabbitmq.tolerant_reader import TolerantReader, readable

FRAME_END = b"\xce"
PRIORITY, TIMESTAMP, APP_ID = 1 << 11, 1 << 6, 1 << 3


def header(flags: int, properties: bytes, *, size: int = 42) -> bytes:
    return struct.pack(">HHQH", 60, 0, size, flags) + properties + FRAME_END


GOOD = (
    ContentHeader(
        body_size=42,
        properties=Basic.Properties(
            app_id="a-client", message_id="1", timestamp=datetime(2026, 11, 21, tzinfo=UTC)
        ),
    ).marshal()
    + FRAME_END
)
UNREADABLE = {
    "a timestamp in nanoseconds": header(TIMESTAMP, struct.pack(">Q", 1_795_000_000 * 10**9)),
    "a timestamp beyond all time": header(TIMESTAMP, b"\xff" * 8),
    "a name that is not UTF-8": header(APP_ID, b"\x02\xff\xfe"),
    "a name that is cut off": header(APP_ID | TIMESTAMP, b"\x05"),
}


class TestReadable:
    def test_leaves_what_can_be_read(self) -> None:
        assert readable(GOOD) == GOOD

    @pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
    def test_empties_what_cannot(self, payload: bytes) -> None:
        emptied = readable(payload)
        found = ContentHeader()
        found.unmarshal(emptied[:-1])
        assert len(emptied) == len(payload)
        assert emptied.endswith(FRAME_END)
        assert (found.body_size, found.properties.app_id) == (42, None)

    @given(flags=st.integers(0, 0xFFFF), properties=st.binary(max_size=64))
    def test_makes_anything_readable(self, flags: int, properties: bytes) -> None:
        ContentHeader().unmarshal(readable(header(flags, properties))[:-1])


async def test_only_content_headers_are_looked_at() -> None:
    odd = UNREADABLE["a name that is not UTF-8"]
    stream = asyncio.StreamReader()
    for kind in (b"\x01", b"\x02", b"\x03"):
        stream.feed_data(kind + struct.pack(">HI", 1, len(odd) - 1) + odd)
    stream.feed_eof()
    reader = TolerantReader(stream)
    payloads = []
    for _ in range(3):
        await reader.readexactly(1)
        await reader.readexactly(6)
        payloads.append(await reader.readexactly(len(odd)))
    assert payloads == [odd, readable(odd), odd]
    assert reader.at_eof()
