"""`python -m tests.chaos.jobs_target`: an HTTP server of its own that counts what it was asked to do, and is difficult.

What stands first in the path says what it does: `get` has no effect, `post` has one each time, `once` has one for each
Idempotency-Key. Prints its address when it listens, and ends when standard input does.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum

_REASONS = {200: "OK", 500: "Internal Server Error", 503: "Service Unavailable"}


class Mood(StrEnum):
    """What a request meets when it is not simply answered."""

    BUSY = "busy"
    """503, and nothing was done."""
    BROKEN = "broken"
    """500, and nothing was done."""
    LATE_BROKEN = "late_broken"
    """500, although it was done."""
    CUT = "cut"
    """No answer, and nothing was done."""
    LATE_CUT = "late_cut"
    """No answer, although it was done."""
    HALF = "half"
    """It was done, and half an answer."""


@dataclass
class Asked:
    """One request. Times are seconds since 1970."""

    number: int
    """1, 2, 3 … of all."""
    at: float
    method: str
    path: str
    key: str
    effect: int = 0
    """Number of the request that had it: an earlier one's, under a key that was known; 0 when there was none. It is
    what is answered, or else the request's own number."""
    status: int = 0
    """What was answered in whole; 0: nothing."""
    until: float | None = None
    """When it was answered, or nobody waited any more."""

    @property
    def what(self) -> str:
        return self.path.split("/")[1]

    @property
    def job_id(self) -> str:
        return self.key.partition(":")[0]


class Target:
    def __init__(self, chance: random.Random, trouble: float, shortest: float, longest: float) -> None:
        self._chance, self._trouble = chance, trouble
        self._shortest, self._longest = shortest, longest
        self.asked: list[Asked] = []
        self._once: dict[str, int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection, so that whatever is read after it is its end."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = first.split(" ")
                if path == "/asked":
                    writer.write(_answer(200, {"asked": [asdict(each) for each in self.asked]}))
                else:
                    asked = Asked(len(self.asked) + 1, time.time(), method, path, headers["idempotency-key"])
                    await self._do(asked, reader, writer)
                await writer.drain()
            finally:
                writer.close()

    async def _do(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(asked)
        left = asyncio.ensure_future(reader.read(1))
        try:
            await self._linger(left)
            mood = self._chance.choice(list(Mood)) if self._chance.random() < self._trouble else None
            if mood in (None, Mood.LATE_BROKEN, Mood.LATE_CUT, Mood.HALF):
                # Also when nobody waits any more: whoever was killed had sent it.
                asked.effect = self._effect(asked)
            await self._linger(left)
            if left.done():
                return
            if mood in (Mood.CUT, Mood.LATE_CUT):
                return
            asked.status = {None: 200, Mood.HALF: 0, Mood.BUSY: 503}.get(mood, 500)
            answer = _answer(asked.status or 200, {"n": asked.effect or asked.number})
            writer.write(answer[: len(answer) // 2] if mood is Mood.HALF else answer)
        finally:
            asked.until = time.time()
            left.cancel()

    def _effect(self, asked: Asked) -> int:
        if asked.what == "get":
            return 0
        if asked.what == "once":
            return self._once.setdefault(asked.key, asked.number)
        return asked.number

    async def _linger(self, left: "asyncio.Future[bytes]") -> None:
        """For half of the time that an answer takes, or until nobody waits."""
        await asyncio.wait([left], timeout=self._chance.uniform(self._shortest, self._longest) / 2)


def _answer(status: int, body: dict[str, object]) -> bytes:
    content = json.dumps(body).encode()
    head = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        "connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


async def run(target: Target) -> None:
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.jobs_target")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--trouble", type=float, required=True, help="share of requests that are not simply answered")
    parser.add_argument("--shortest", type=float, default=0, help="seconds that an answer takes at least")
    parser.add_argument("--longest", type=float, required=True, help="and at most")
    said = parser.parse_args()
    asyncio.run(run(Target(random.Random(said.seed), said.trouble, said.shortest, said.longest)))


if __name__ == "__main__":
    main()
