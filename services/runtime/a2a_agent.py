"""The runner of agents that live elsewhere and speak A2A, protocol 1.0 or 0.3, over JSON-RPC. Text only."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from bureau_contracts.runtime import TurnStatus
from bureau_contracts.sessions import NewMessage, Role
from bureau_contracts.shapes import JsonObject
from kit.logs import get_logger
from kit.telemetry import outgoing_headers
from services.runtime import a2a_wire, policy
from services.runtime.a2a_wire import Declined, Dialect, NotA2A, NotSpoken, Progress, Stage
from services.runtime.http_agent import AnswerTooLong, read_answer
from services.runtime.plain_agent import REPLY_CHARS, opaque_refusal, unanswered
from services.runtime.results import storable_text
from services.runtime.runner import Outcome, Work
from services.runtime.toolbox import BoundTool

log = get_logger(__name__)

CARD_SECONDS = 300.0
"""For how long an agent's card is believed."""
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.2, 2.0


@dataclass(frozen=True)
class _Endpoint:
    url: str
    dialect: Dialect
    until: float


class A2ARunner:
    """Promises what `Runner` does. The session's id is A2A's context, so the remote agent knows what was said before;
    the turn's id is the message's, so it can tell a message that is sent again. Sends no identity of ours."""

    def __init__(
        self, name: str, url: str, client: httpx.AsyncClient, *, timeout_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._name, self._url, self._client, self._timeout, self._now = name, url, client, timeout_seconds, now
        self._known: _Endpoint | None = None

    @property
    def tools(self) -> Sequence[BoundTool]:
        return ()

    async def answer(self, work: Work) -> Outcome:
        if not policy.allows(work.level, policy.UNKNOWN_RISK):
            return unanswered(self._name, opaque_refusal(self._name, work))
        try:
            async with asyncio.timeout(self._timeout):
                progress = await self._ask(work)
        except TimeoutError:
            return self._unanswered(f"no answer within {self._timeout:g} s; it may still be at work")
        except httpx.HTTPStatusError as error:
            return self._unanswered(f"its endpoint answered {error.response.status_code}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return self._unanswered(f"its endpoint cannot be reached ({type(error).__name__})")
        except AnswerTooLong as error:
            return self._unanswered(str(error))
        except NotSpoken:
            return self._unanswered("it speaks neither A2A 1.0 nor 0.3 over JSON-RPC")
        except (NotA2A, Declined) as error:
            return self._unanswered(str(error))
        return self._outcome(progress)

    def _outcome(self, progress: Progress) -> Outcome:
        text = storable_text(progress.text, REPLY_CHARS)
        if progress.stage is Stage.FAILED:
            return self._unanswered(f"its task ended as {progress.state}{f': {text}' if text else ''}")
        if not text.strip():
            return self._unanswered("its answer holds no text")
        status = TurnStatus.NEEDS_CLARIFICATION if progress.stage is Stage.ASKS else TurnStatus.COMPLETED
        return Outcome(status, text, [NewMessage(role=Role.ASSISTANT, content=text, agent=self._name)], model="a2a")

    async def _ask(self, work: Work) -> Progress:
        at = await self._endpoint()
        try:
            progress = await self._send(at, work)
        except NotSpoken:
            if at.dialect is Dialect.V03:
                raise
            at = _Endpoint(at.url, Dialect.V03, at.until)
            progress = await self._send(at, work)
            self._known = at
        pause = FIRST_POLL_SECONDS
        while progress.stage is Stage.WORKING:
            assert progress.task_id is not None
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)
            request = a2a_wire.get_task(at.dialect, work.turn_id, progress.task_id)
            progress = a2a_wire.progress(await self._post(at, request))
        return progress

    async def _send(self, at: _Endpoint, work: Work) -> Progress:
        request = a2a_wire.send(
            at.dialect, work.turn_id, text=work.message, context_id=work.session_id, message_id=work.turn_id
        )
        return a2a_wire.progress(await self._post(at, request))

    async def _endpoint(self) -> _Endpoint:
        """From the agent's card. A server without one is spoken to at the URL itself."""
        if self._known is not None and self._now() < self._known.until:
            return self._known
        until = self._now() + CARD_SECONDS
        path = urlsplit(self._url).path
        card_url = self._url if path.endswith(".json") else self._url.rstrip("/") + a2a_wire.CARD_PATH
        try:
            card = await self._json(self._client.build_request("GET", card_url, timeout=self._timeout))
        except (httpx.HTTPStatusError, NotA2A):
            if card_url == self._url:
                raise
            self._known = _Endpoint(self._url, Dialect.V1, until)
            return self._known
        url, dialect = a2a_wire.endpoint(card)
        url = urljoin(card_url, url)
        if _origin(url) != _origin(card_url):
            # A card is the remote side's word: it must not send us to a machine that nobody registered.
            raise NotA2A("its card names an endpoint on another host than the registered one")
        self._known = _Endpoint(url, dialect, until)
        return self._known

    async def _post(self, at: _Endpoint, request: JsonObject) -> Any:
        headers = {"content-type": "application/json", a2a_wire.VERSION_HEADER: at.dialect.value, **outgoing_headers()}
        return await self._json(self._client.build_request(
            "POST", at.url, content=json.dumps(request), headers=headers, timeout=self._timeout
        ))  # fmt: skip

    async def _json(self, request: httpx.Request) -> Any:
        answer = await self._client.send(request, stream=True)
        try:
            body = await read_answer(answer)
        finally:
            await answer.aclose()
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise NotA2A("its answer is not JSON") from None

    def _unanswered(self, reason: str) -> Outcome:
        self._known = None  # it may have moved
        log.warning("agent_failed", agent=self._name, error=reason)
        return unanswered(self._name, reason)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
