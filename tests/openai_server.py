"""A server that speaks the wire format of OpenAI's chat completions, also when it misbehaves."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


def completion(
    message: dict[str, Any], *, usage: Any = "default", finish: str = "stop", model: str = "gpt-4o-mini"
) -> Answer:
    body: dict[str, Any] = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
    }  # fmt: skip
    if usage is not None:
        body["usage"] = (
            {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100} if usage == "default" else usage
        )
    return 200, {}, json.dumps(body).encode()


def failure(status: int, message: str = "no", **headers: str) -> Answer:
    body = {"error": {"message": message, "type": "error", "code": None}}
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()


@dataclass
class Provider:
    """A server on a port of its own. Gives the answers in order, the last one for ever; None hangs."""

    port: int
    answers: list[Answer | None] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.requests.append((first, headers, body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                await reader.read()  # until the client gives up
                return
            status, extra, content = answer
            given = {
                "content-type": "application/json",
                "content-length": str(len(content)),
                "connection": "close",
                **extra,
            }
            writer.write(f"HTTP/1.1 {status} X\r\n".encode())
            writer.write("".join(f"{name}: {value}\r\n" for name, value in given.items()).encode() + b"\r\n" + content)
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    made = Provider(0)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
