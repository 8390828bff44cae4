"""A server on loopback that answers as it is told: the other side of clients of APIs that are not ours."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
"""Status, further headers, body. A wrong content-length among the headers cuts the body."""


@dataclass(frozen=True)
class Asked:
    line: str
    """`POST /v1/embeddings HTTP/1.1`"""
    headers: dict[str, str]
    """Names in lower case."""
    body: Any
    """Parsed JSON."""


Script = Answer | None | Callable[[Asked], Answer]
"""None hangs until the client gives up."""


@dataclass
class ScriptedServer:
    """Gives the answers in order, the last one for ever."""

    port: int
    answers: list[Script] = field(default_factory=list)
    requests: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await _read(reader)
            self.requests.append(asked)
            script = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if script is None:
                await reader.read()
                return
            writer.write(_written(script(asked) if callable(script) else script))
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    made = ScriptedServer(0)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def json_answer(body: Any, status: int = 200, **headers: str) -> Answer:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    return Asked(line, headers, json.loads(await reader.readexactly(int(headers["content-length"]))))


def _written(answer: Answer) -> bytes:
    status, extra, content = answer
    given = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close", **extra}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return head.encode() + b"\r\n" + content
