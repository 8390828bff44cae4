"""A TCP proxy with a fixed port, in front of a server that comes and goes or stops answering."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

from tests.servers import listening, port_of


class TcpProxy:
    """Forwards to the port `target`; drops connections while that is None. While `silent` it passes nothing on."""

    def __init__(self) -> None:
        self.port = 0
        self.target: int | None = None
        self.silent = False
        self._connections: set[asyncio.Task[object]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        async with listening(self._serve) as url:
            self.port = port_of(url)
            try:
                yield self
            finally:
                for connection in self._connections:
                    connection.cancel()
                await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self) -> None:
        """Ends every connection that there is."""
        for connection in self._connections:
            connection.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if self.target is not None:
                with suppress(OSError):
                    theirs, ours = await asyncio.open_connection("127.0.0.1", self.target)
                    await self._join(reader, writer, theirs, ours)
        finally:
            writer.close()
            self._connections.discard(task)

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        theirs: asyncio.StreamReader, ours: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        """Passes bytes both ways until either side ends."""
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, ours))
                both.create_task(self._pass_on(theirs, writer))
        except* OSError:
            pass
        finally:
            ours.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.silent:
                writer.write(data)
                await writer.drain()
        raise ConnectionResetError
