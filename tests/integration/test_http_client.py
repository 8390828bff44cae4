"""Calls to other services, when what answers is broken: it is always an httpx error, so one clause handles it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from bureau.errors import Unavailable
from bureau.http import Caller
from bureau.sessions import SessionsClient
from kit.http_client import outside_http, service_http
from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner, PrincipalVerifier, acting_as, generate_keypair
from services.runtime.app import target_client

PRIVATE, PUBLIC = generate_keypair()
ADA = Principal("acme", "ada")


@asynccontextmanager
async def answering(answer: bytes, seen: list[bytes] | None = None) -> AsyncIterator[str]:
    """A server that answers every request with these bytes and hangs up; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(head)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


BROKEN = [
    b"garbage\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n",
    b"",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
]


@pytest.mark.parametrize("answer", BROKEN, ids=["no HTTP", "cut body", "broken header", "nothing", "broken chunk"])
async def test_a_broken_answer_is_an_httpx_error(answer: bytes) -> None:
    async with answering(answer) as url, outside_http(timeout_seconds=5, connect_seconds=2) as client:
        with pytest.raises(httpx.HTTPError):
            await client.get(url)


@pytest.mark.parametrize("answer", BROKEN[:2], ids=["no HTTP", "cut body"])
async def test_a_broken_service_is_unavailable(answer: bytes) -> None:
    signer = PrincipalSigner(PRIVATE, "runtime")
    async with answering(answer) as url, service_http(url, audience="sessions", signer=signer) as client:
        with acting_as(ADA), pytest.raises(Unavailable):
            await SessionsClient(Caller(client, attempts=1)).get("sess-1")


@pytest.mark.parametrize("answer", BROKEN, ids=["no HTTP", "cut body", "broken header", "nothing", "broken chunk"])
async def test_a_request_that_was_sent_is_never_called_one_that_was_not(answer: bytes) -> None:
    async with answering(answer) as url, outside_http(timeout_seconds=5, connect_seconds=2) as client:
        with pytest.raises(httpx.HTTPError) as caught:
            await client.post(url, json={"pay": 1})
    assert not isinstance(caught.value, httpx.ConnectError | httpx.ConnectTimeout)


@pytest.mark.parametrize("opened", [lambda: outside_http(timeout_seconds=5, connect_seconds=2), target_client])
async def test_what_one_is_given_to_remember_is_not_told_for_another(opened: Callable[[], httpx.AsyncClient]) -> None:
    """A worker's client sends everybody's requests, of all tenants, as the runtime's does."""
    seen: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=anns; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with answering(answer, seen) as url, opened() as client:
        for each in (url, url.replace("127.0.0.1", "localhost")):
            await client.get(each)
            await client.get(each)
    assert len(seen) == 4
    assert not [head for head in seen if b"cookie" in head.lower()]


async def test_nobody_home_is_an_error_of_connecting() -> None:
    async with answering(b"") as url:
        pass
    async with outside_http(timeout_seconds=5, connect_seconds=2) as client:
        with pytest.raises((httpx.ConnectError, httpx.ConnectTimeout)):
            await client.get(url)


async def test_a_call_is_signed_for_its_service_and_nobody_elses_name_is_used() -> None:
    seen: list[bytes] = []
    signer = PrincipalSigner(PRIVATE, "runtime")
    nothing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    async with answering(nothing, seen) as url, service_http(url, audience="sessions", signer=signer) as client:
        with acting_as(ADA):
            await client.get("/sessions/sess-1")
    token = _header(seen[0], PRINCIPAL_HEADER)
    assert PrincipalVerifier(PUBLIC, "sessions").verify(token) == ADA


async def test_without_a_principal_nothing_is_sent() -> None:
    seen: list[bytes] = []
    signer = PrincipalSigner(PRIVATE, "runtime")
    async with answering(b"", seen) as url, service_http(url, audience="sessions", signer=signer) as client:
        with pytest.raises(Exception, match="no principal"):
            await client.get("/sessions/sess-1")
    assert seen == []


def _header(head: bytes, name: str) -> str:
    lines = head.decode().split("\r\n")
    return next(line.partition(":")[2].strip() for line in lines if line.lower().startswith(name))
