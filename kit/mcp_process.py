"""A transport of the `mcp` client: a server that is started as a command, and always ended.

Not the client's own: that one passes on more of our environment than PATH, and reads lines of any length.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from math import inf
from types import TracebackType
from typing import Self, cast

import anyio
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

GOODBYE_SECONDS = 0.5
"""For a server to end by itself when its input is closed, as the protocol asks of it."""
KILLED_SECONDS = 2.0
"""For the system to report the end of a process that was killed."""

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], "_Writer"]


class _Server(asyncio.SubprocessProtocol):
    """Cuts the server's output into messages. Ends it when there is more than `most_bytes` of it."""

    def __init__(self, messages: MemoryObjectSendStream[SessionMessage | Exception], most_bytes: int) -> None:
        self._messages, self._left, self._rest = messages, most_bytes, bytearray()
        self.too_much = self.silent = False
        self.exited = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        data = cast(bytes, data)  # nothing here asks for text
        if self.too_much:
            return
        self._left -= len(data)
        if self._left < 0:
            self.too_much = True
            self._rest.clear()
            self._messages.close()
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._rest += line
            self._received(bytes(self._rest))
            self._rest.clear()
        self._rest += rest

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.silent = True
            self._messages.close()

    def process_exited(self) -> None:
        self.exited.set()

    async def ends_by_itself(self) -> bool:
        """Whether it has ended, or is about to: its output is closed first."""
        if self.silent:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self.exited.wait()
        return self.exited.is_set()

    def _received(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            item: SessionMessage | Exception = SessionMessage(
                mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
            )
        except ValueError:
            item = ValueError("a line that is no JSON-RPC message")  # the line itself is not ours to log
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._messages.send_nowait(item)


class _Writer:
    """Messages go straight into the server's input; they are few and small, so nobody waits for it to read."""

    def __init__(self, pipe: asyncio.WriteTransport) -> None:
        self._pipe = pipe

    async def send(self, item: SessionMessage, /) -> None:
        if self._pipe.is_closing():
            raise anyio.ClosedResourceError
        self._pipe.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    async def aclose(self) -> None:
        self._pipe.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        await self.aclose()
        return None


class TooMuch(Exception):
    """The server said more than anybody wants to read."""


class Ended(Exception):
    """The server ended before it had answered. The message is its exit code."""


@asynccontextmanager
async def started(command: Sequence[str], environment: Mapping[str, str], *, most_bytes: int) -> AsyncIterator[Streams]:
    """Starts the command without a shell, in a process group of its own, with this environment and no more.

    When the block is left, however, the whole group is dead: asked to end, then killed. Raises OSError when it cannot
    be started; TooMuch or Ended in place of whatever the block raises when that is the reason.
    """
    send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](inf)
    transport, server = await asyncio.get_running_loop().subprocess_exec(
        lambda: _Server(send, most_bytes), *command, env=dict(environment), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        # Not asserted: uvloop's transports have the methods of asyncio's, but not its classes.
        pipe = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
        try:
            yield receive, _Writer(pipe)
        except Exception as error:
            if server.too_much:
                raise TooMuch from error
            if await server.ends_by_itself():
                raise Ended(str(transport.get_returncode())) from error
            raise
    finally:
        await _end(transport, server)
        receive.close()
        send.close()


async def _end(transport: asyncio.SubprocessTransport, server: _Server) -> None:
    """Every wait is bounded, and a cancellation only makes it kill sooner."""
    try:
        if (pipe := transport.get_pipe_transport(0)) is not None:
            pipe.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await server.exited.wait()
    finally:
        # The group and not the process alone: a server may have started others, and may be gone before them.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(KILLED_SECONDS):
                    await server.exited.wait()
        finally:
            transport.close()
