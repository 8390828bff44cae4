"""The runner of agents that live elsewhere and answer one turn over HTTP: `HttpTurn` in, `HttpReply` out."""

import asyncio
from collections.abc import Sequence

import httpx
from pydantic import ValidationError

from bureau_contracts.runtime import HttpReply, HttpTurn, TurnStatus
from bureau_contracts.sessions import NewMessage, Role
from kit.logs import get_logger
from kit.telemetry import outgoing_headers
from services.runtime import policy
from services.runtime.plain_agent import REPLY_CHARS, opaque_refusal, unanswered
from services.runtime.results import storable_text
from services.runtime.runner import Outcome, Work
from services.runtime.toolbox import BoundTool

log = get_logger(__name__)

ANSWER_BYTES = 2 * 1024 * 1024


class AnswerTooLong(Exception):
    def __init__(self) -> None:
        super().__init__(f"its answer has more than {ANSWER_BYTES} bytes")


class HttpRunner:
    """Promises what `Runner` does. Sends no identity: the endpoint is not one of ours. The turn's id goes along as
    ``Idempotency-Key``, since a turn that was cut off may be sent again."""

    def __init__(self, name: str, url: str, client: httpx.AsyncClient, *, timeout_seconds: float) -> None:
        self._name, self._url, self._client, self._timeout = name, url, client, timeout_seconds

    @property
    def tools(self) -> Sequence[BoundTool]:
        return ()

    async def answer(self, work: Work) -> Outcome:
        if not policy.allows(work.level, policy.UNKNOWN_RISK):
            return unanswered(self._name, opaque_refusal(self._name, work))
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._ask(work)
        except TimeoutError:
            return self._unanswered(f"no answer within {self._timeout:g} s")
        except httpx.HTTPStatusError as error:
            return self._unanswered(f"its endpoint answered {error.response.status_code}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return self._unanswered(f"its endpoint cannot be reached ({type(error).__name__})")
        except AnswerTooLong as error:
            return self._unanswered(str(error))
        except ValidationError:
            return self._unanswered("its endpoint did not answer with a reply")
        text = storable_text(reply.reply, REPLY_CHARS)
        message = NewMessage(
            role=Role.ASSISTANT, content=text, agent=self._name,
            input_tokens=max(0, reply.usage.input_tokens), output_tokens=max(0, reply.usage.output_tokens),
        )  # fmt: skip
        return Outcome(TurnStatus.COMPLETED, text, [message], model=reply.model, usage=reply.usage)

    async def _ask(self, work: Work) -> HttpReply:
        turn = HttpTurn(
            message=work.message, session_id=work.session_id,
            history=list(work.history), memories=list(work.memories),
        )  # fmt: skip
        headers = {"content-type": "application/json", "idempotency-key": work.turn_id, **outgoing_headers()}
        content = turn.model_dump_json()
        async with self._client.stream(
            "POST", self._url, content=content, headers=headers, timeout=self._timeout
        ) as answer:
            body = await read_answer(answer)
        return HttpReply.model_validate_json(body)

    def _unanswered(self, reason: str) -> Outcome:
        log.warning("agent_failed", agent=self._name, error=reason)
        return unanswered(self._name, reason)


async def read_answer(answer: httpx.Response) -> bytes:
    """The body of an answer that is being streamed. Raises HTTPStatusError unless it is a success, or AnswerTooLong."""
    if not answer.is_success:
        answer.raise_for_status()
        raise httpx.HTTPStatusError("not a success", request=answer.request, response=answer)
    body = b""
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > ANSWER_BYTES:
            raise AnswerTooLong
    return body
