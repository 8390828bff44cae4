"""Looks whether agents that live elsewhere are there: fetches an A2A agent's card, knocks at an HTTP agent's door."""

import asyncio

import httpx

from bureau_contracts.registry import AgentRecord, Availability
from kit.clock import Clock
from kit.destinations import Destinations, NotAllowed
from services.registry.agent_cards import NotACard, card_url, checked
from services.registry.health import Card, Looked

SECONDS = 5.0
MOST_BYTES = 256 * 1024

_NO_CARD = (404, 405, 410, 501)
_NOBODY_BEHIND = (502, 503, 504)


class RemoteAgents:
    """`LookAt` over HTTP. Sends no identity and no secret: these machines are not ours."""

    def __init__(self, client: httpx.AsyncClient, destinations: Destinations, clock: Clock, seconds: float = SECONDS):
        self._client, self._destinations, self._clock, self._seconds = client, destinations, clock, seconds

    async def look(self, agent: AgentRecord, known: Card | None) -> Looked:
        try:
            async with asyncio.timeout(self._seconds):
                if agent.a2a is not None:
                    return await self._fetch_card(card_url(agent.a2a), known)
                assert agent.http is not None
                return await self._knock(agent.http)
        except TimeoutError:
            return _away(f"no answer within {self._seconds:g} s", known)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            return _away(f"it cannot be reached ({type(error).__name__})", known)
        except (NotAllowed, NotACard) as reason:
            return _away(str(reason), known)

    async def _knock(self, url: str) -> Looked:
        """There is no contract for this: any answer says that somebody is there, unless a proxy says that nobody is."""
        await self._destinations.permit(url)
        async with self._client.stream("HEAD", url, headers={"connection": "close"}) as answer:
            if answer.status_code in _NOBODY_BEHIND:
                return _away(f"its endpoint answers {answer.status_code}", None)
            return Looked(Availability.AVAILABLE)

    async def _fetch_card(self, url: str, known: Card | None) -> Looked:
        await self._destinations.permit(url)
        headers = {"accept": "application/json", "accept-encoding": "identity", "connection": "close"}
        if known is not None and known.etag:
            headers["if-none-match"] = known.etag
        async with self._client.stream("GET", url, headers=headers) as answer:
            if answer.status_code == httpx.codes.NOT_MODIFIED and known is not None:
                return Looked(Availability.AVAILABLE, "", Card(known.content, known.etag, self._clock.now()))
            if answer.status_code in _NO_CARD:
                # Somebody is there. Whether it speaks A2A without a card, only a turn can tell.
                return Looked(Availability.AVAILABLE, f"it has no agent card ({answer.status_code} for {url})", None)
            if answer.status_code != httpx.codes.OK:
                return _away(f"asked for its card it answers {answer.status_code}", known)
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise NotACard(f"its card has more than {MOST_BYTES} bytes")
            content = checked(bytes(body))
            return Looked(
                Availability.AVAILABLE, "", Card(content, answer.headers.get("etag", "")[:500], self._clock.now())
            )


def _away(reason: str, known: Card | None) -> Looked:
    """The card that was fetched last stays: what the agent can do did not change by its absence."""
    return Looked(Availability.UNAVAILABLE, reason, known)
