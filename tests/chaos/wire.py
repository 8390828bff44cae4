"""One HTTP connection with as little in between as can be: sixty-four of them must not be what a test waits for."""

import asyncio
import json
import re
from types import TracebackType
from typing import Any, Self

from tests.chaos.registry_process import identity
from tests.servers import port_of

_HEAD = re.compile(rb"HTTP/1.1 (\d+)[^\0]*\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Wire:
    """Raises ConnectionError or IncompleteReadError when it is cut."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port_of(self._url))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, body: dict[str, Any], expected: int | None = None) -> tuple[int, bytes]:
        """Status and body. `expected` is the revision for If-Match."""
        content = json.dumps(body).encode()
        headers = {
            "Host": "registry",
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **({} if expected is None else {"If-Match": f'"{expected}"'}),
            **identity(),
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self._writer.write("\r\n".join(lines).encode() + content)
        head = _HEAD.match(await self._reader.readuntil(b"\r\n\r\n"))
        assert head is not None
        return int(head[1]), await self._reader.readexactly(int(head[2]))
