"""Real servers on loopback, in this process, for tests that must see bytes on a wire."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from kit.tasks import background
from tests.ports import free_port

PATIENCE_SECONDS = 10


class _Server(uvicorn.Server):
    """A uvicorn that says when it is ready, and leaves the process's signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Runs the application as `kit.serve` does; gives its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                server_header=False,
                ws="websockets-sansio",
                timeout_graceful_shutdown=1,
            )
        )
        stopped = asyncio.Event()

        async def run() -> None:
            try:
                await server.serve([listener])
            finally:
                stopped.set()

        async with background(run()):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await server.ready.wait()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await stopped.wait()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """Runs a raw TCP server, for answers that no HTTP library would send; gives its base URL."""
    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def closed_url() -> str:
    """Where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


async def raw_exchange(url: str, request: bytes, *, seconds: float = 10) -> bytes:
    """Sends bytes as they are and reads until the server closes; ask for `Connection: close`."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        try:
            writer.write(request)
            return await reader.read(-1)
        finally:
            writer.close()
