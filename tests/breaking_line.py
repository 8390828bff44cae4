"""A TCP line to a server on loopback that breaks in the middle of event streams, and lets everything else through."""

import asyncio
import itertools
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.servers import listening, port_of

_STREAM = re.compile(rb"GET \S*/events\S* HTTP/1.1\r\n")
_POSITION = re.compile(rb"\r\nlast-event-id: (\S+)\r\n", re.IGNORECASE)


class BreakingLine:
    """Breaks the n-th event stream after `breaks[n]` bytes of its answer, head included, and then begins anew with
    `breaks`."""

    def __init__(self, target: str, breaks: Sequence[int]) -> None:
        self._port, self._breaks = port_of(target), itertools.cycle(breaks)
        self.url = ""
        self.broken = 0
        self.positions: list[str] = []
        """The Last-Event-ID of every stream that was asked for."""

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        connection = _Connection(self, writer)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(connection.ask(reader, far_writer))
                both.create_task(connection.answer(far_reader))
        except* (ConnectionError, _Broken):
            writer.transport.abort()
        finally:
            for each in (writer, far_writer):
                each.close()

    def next_break(self, request: bytes) -> int:
        position = _POSITION.search(request)
        self.positions.append(position[1].decode() if position else "")
        return next(self._breaks)


class _Broken(Exception):
    pass


class _Connection:
    def __init__(self, line: BreakingLine, writer: StreamWriter) -> None:
        self._line, self._writer = line, writer
        self._left: int | None = None
        """Bytes of the answer that still get through; None: all."""

    async def ask(self, reader: StreamReader, far_writer: StreamWriter) -> None:
        while data := await reader.read(65_536):
            self._left = self._line.next_break(data) if _STREAM.match(data) else None
            far_writer.write(data)
            await far_writer.drain()
        far_writer.close()

    async def answer(self, far_reader: StreamReader) -> None:
        while data := await far_reader.read(65_536):
            self._writer.write(data if self._left is None else data[: self._left])
            await self._writer.drain()
            if self._left is not None:
                self._left -= len(data)
                if self._left <= 0:
                    self._line.broken += 1
                    raise _Broken
        self._writer.close()


@asynccontextmanager
async def breaking_line(target: str, breaks: Sequence[int]) -> AsyncIterator[BreakingLine]:
    line = BreakingLine(target, breaks)
    async with listening(line.carry) as line.url:
        yield line
