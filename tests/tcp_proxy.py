"""A wire that can be held still or cut, between us and a service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Wire:
    """What is sent over it arrives, unless it is held."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._writers: list[asyncio.StreamWriter] = []
        self._moves = asyncio.Event()
        self._moves.set()
        self.port = 0
        self.connections = 0

    def hold(self) -> None:
        """Let nothing pass, in either direction; connections still open, as on a frozen machine."""
        self._moves.clear()

    def release(self) -> None:
        """Let everything pass again."""
        self._moves.set()

    def cut(self) -> None:
        """Break every connection; new ones are fine."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        self.connections += 1
        there_reader, there_writer = await asyncio.open_connection(*self._there)
        self._writers += [writer, there_writer]
        await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._moves.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def wire_to(host: str, port: int) -> AsyncIterator[Wire]:
    """A wire to a service; its near end is ``port`` on this machine."""
    wire = Wire(host, port)
    carried: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried.add(asyncio.ensure_future(wire.carry(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.release()
        wire.cut()
        for task in carried:
            task.cancel()
        await asyncio.gather(*carried, return_exceptions=True)
