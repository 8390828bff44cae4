"""The port to the services: one request and its answer, or one WebSocket. Which HTTP client carries it is an adapter's.

Balancing, circuit breaking and retries are wrappers of this port: they take an Upstream and are one.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

Headers = Sequence[tuple[bytes, bytes]]
"""In order, duplicates kept, names in lower case."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a service, ready to be sent as it stands."""

    service: str
    method: str
    target: str
    """Path and query as the client sent them, byte for byte; ASCII."""
    headers: Headers = ()
    """Without any of the framing: no Content-Length, no Transfer-Encoding."""
    body: bytes | AsyncIterable[bytes] = b""
    length: int | None = None
    """Of a streamed body, when it was announced; None sends it in chunks."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a WebSocket, as the service gave it; 1006 when it gave none."""

    code: int
    reason: str = ""


class Reply(Protocol):
    """A service's answer: its head is there, its body still comes."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers:
        """As they came, hop-by-hop headers and Content-Length included."""

    def body(self) -> AsyncIterator[bytes]:
        """The body's bytes as they come, undecoded; reads on only as fast as it is iterated.

        Raises UpstreamBroken when it ends before its end.
        """


class Channel(Protocol):
    """An open WebSocket to a service. One task may send while another receives."""

    @property
    def subprotocol(self) -> str | None:
        """The one that the service chose."""

    async def send(self, message: str | bytes) -> None:
        """Waits while the service does not read. A message to a service that has left is lost; `receive` says so."""

    async def receive(self) -> str | bytes | Closed:
        """The next message; after Closed there is none."""

    async def close(self, code: int, reason: str) -> None:
        """Says goodbye; does nothing when the service has already left."""


class Upstream(Protocol):
    """Reaches the services by name.

    - Redirects are not followed, cookies not kept, bodies not decompressed; no header is added but a
      missing Host and the framing.
    - Leaving the block before the body's end breaks that connection off, so that the service notices.
    - Raises UpstreamAway when no connection is accepted, UpstreamSilent when that takes too long, UpstreamBroken when
      the answer is not HTTP, or the connection ends before it. How long an answer may take is the caller's matter.
    - A request is sent once. Only one whose method may be repeated, and whose pooled connection turned out to have
      been closed by the service, goes out again.
    """

    def exchange(self, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Sends the call; the block begins with the head of the answer."""

    def connect(self, call: Call, subprotocols: Sequence[str]) -> AbstractAsyncContextManager[Channel]:
        """Opens a WebSocket. A handshake that the service refuses with 4xx or 5xx is raised as that Refusal."""
