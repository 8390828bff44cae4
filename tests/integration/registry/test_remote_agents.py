"""Looking at remote agents over a real wire: cards, their ETags, and everything that is no answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from bureau_contracts.registry import AgentRecord, Availability
from kit.destinations import Destinations
from services.registry.remote_agents import MOST_BYTES, RemoteAgents
from tests.fakes import FixedClock
from tests.servers import Handler, closed_url, listening

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CARD = json.dumps({"name": "it", "url": "http://it/", "skills": [{"id": "s"}]}).encode()


def a2a(url: str) -> AgentRecord:
    return AgentRecord(name="it", revision=1, registered_at=NOW, updated_at=NOW, a2a=url)


def http(url: str) -> AgentRecord:
    return AgentRecord(name="it", revision=1, registered_at=NOW, updated_at=NOW, http=url)


@pytest.fixture
async def outside() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5, trust_env=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def remote(outside: httpx.AsyncClient) -> RemoteAgents:
    return RemoteAgents(outside, Destinations(), FixedClock(), 1)


def saying(answer: bytes, heard: list[bytes] | None = None) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            if heard is not None:
                heard.append(request)
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    return handle


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_a_card_is_fetched_from_its_well_known_place_and_asked_for_again_by_its_etag(
    remote: RemoteAgents,
) -> None:
    heard: list[bytes] = []
    async with listening(saying(answer("200 OK", CARD, etag='"7"'), heard)) as url:
        looked = await remote.look(a2a(f"{url}/a2a"), None)
    assert looked.availability is Availability.AVAILABLE
    assert looked.card is not None
    assert looked.card.content == json.loads(CARD)
    assert heard[0].startswith(b"GET /a2a/.well-known/agent-card.json HTTP/1.1\r\n")
    async with listening(saying(answer("304 Not Modified", etag='"7"'), heard)) as url:
        again = await remote.look(a2a(url), looked.card)
    assert again == looked
    assert b'if-none-match: "7"\r\n' in heard[1].lower()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer("200 OK", b"<html>"), "its card is not JSON"),
        (answer("200 OK", b'{"name": "it"}'), "its card is not an agent card"),
        (answer("200 OK", CARD + b" " * MOST_BYTES), "its card has more than"),
        (answer("500 Oops"), "asked for its card it answers 500"),
        (answer("302 Found", location="http://169.254.169.254/"), "asked for its card it answers 302"),
        (answer("304 Not Modified"), "asked for its card it answers 304"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{", "it cannot be reached"),
        (b"\x00\x01garbage\r\n\r\n", "it cannot be reached"),
        (b"", "it cannot be reached"),
    ],
)
async def test_what_is_no_card_makes_an_agent_unavailable_and_says_why(
    remote: RemoteAgents, said: bytes, reason: str
) -> None:
    async with listening(saying(said)) as url:
        looked = await remote.look(a2a(url), None)
    assert looked.availability is Availability.UNAVAILABLE
    assert looked.reason.startswith(reason)
    assert looked.card is None


async def test_an_a2a_server_without_a_card_is_there(remote: RemoteAgents) -> None:
    async with listening(saying(answer("404 Not Found"))) as url:
        looked = await remote.look(a2a(url), None)
    assert looked.availability is Availability.AVAILABLE
    assert "no agent card" in looked.reason


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "405 Method Not Allowed", "401 No", "500 Oops"])
async def test_whatever_an_http_agent_answers_it_is_there(remote: RemoteAgents, status: str) -> None:
    heard: list[bytes] = []
    async with listening(saying(answer(status), heard)) as url:
        looked = await remote.look(http(f"{url}/turn"), None)
    assert looked.availability is Availability.AVAILABLE
    assert heard[0].startswith(b"HEAD /turn ")


async def test_a_proxy_with_nobody_behind_it_is_not_an_agent(remote: RemoteAgents) -> None:
    async with listening(saying(answer("502 Bad Gateway"))) as url:
        looked = await remote.look(http(url), None)
    assert (looked.availability, looked.reason) == (Availability.UNAVAILABLE, "its endpoint answers 502")


async def test_nobody_listens_and_nobody_answers(remote: RemoteAgents) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    looked = await remote.look(http(closed_url()), None)
    assert looked.reason.startswith("it cannot be reached")
    async with listening(silent) as url:
        for agent in (http(url), a2a(url)):
            assert (await remote.look(agent, None)).reason == "no answer within 1 s"


async def test_hosts_that_are_not_allowed_are_not_called(outside: httpx.AsyncClient) -> None:
    heard: list[bytes] = []
    guarded = RemoteAgents(outside, Destinations(["agents.example"]), FixedClock(), 1)
    async with listening(saying(answer("200 OK"), heard)) as url:
        for agent in (http(url), a2a(url), http("http://169.254.169.254/")):
            assert (await guarded.look(agent, None)).availability is Availability.UNAVAILABLE
    assert heard == []
