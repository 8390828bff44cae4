"""Any model behind an endpoint that speaks OpenAI's chat completions, over plain HTTP.

https://platform.openai.com/docs/api-reference/chat
"""

import asyncio
import json
from typing import Any

import httpx
from genai_prices import Usage, calc_price
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from bureau_contracts.sessions import NewMessage, Role, ToolCall
from bureau_contracts.shapes import JsonObject
from kit.ids import new_id
from kit.outside_api import ApiFailed, OutsideApi, Patience, retried
from services.runtime.models.model import ModelFailed, ModelReply, ModelRequest, ToolSpec, estimate_tokens

LONGEST_ID = 64
"""Of a call id and of a tool's name; a longer one is replaced, which keeps the pair of call and result intact."""
_MEMORIES = "What you know about the user from earlier conversations:"


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Function(_Lenient):
    name: str = ""
    arguments: str | dict[str, Any] | None = ""
    """A JSON text by the specification; some servers send the object itself."""


class _Call(_Lenient):
    id: str | None = None
    function: _Function


class _Message(_Lenient):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(_Lenient):
    message: _Message
    finish_reason: str | None = None


class _Usage(_Lenient):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(_Lenient):
    model: str = ""
    choices: list[_Choice]
    usage: _Usage | None = None


class OpenAiCompatible:
    """Retries by itself, after no connection, a 429 or a 5xx only: a completion has no effect but its price."""

    provider = "openai"

    def __init__(
        self,
        name: str,
        client: httpx.AsyncClient,
        *,
        base_url: str,
        api_key: SecretStr,
        timeout_seconds: float,
        patience: Patience = Patience(),
    ) -> None:
        self.name = name
        self._api = OutsideApi(client, "the model's endpoint", base_url.rstrip("/"), api_key, timeout_seconds)
        self._patience = patience

    async def complete(self, request: ModelRequest) -> ModelReply:
        body: JsonObject = {"model": self.name, "messages": _messages(request)}
        if request.tools:
            body["tools"] = [_tool(each) for each in request.tools]
        raw = await self._post(body)
        try:
            completion = _Completion.model_validate_json(raw)
        except ValidationError as error:
            raise ModelFailed("the model's endpoint did not answer with a chat completion") from error
        if not completion.choices:
            raise ModelFailed("the model's endpoint answered without a choice")
        return await self._reply(request, completion)

    async def _reply(self, request: ModelRequest, completion: _Completion) -> ModelReply:
        message = completion.choices[0].message
        calls, malformed = _calls(message.tool_calls or [])
        text = message.content or message.refusal or ""
        if completion.choices[0].finish_reason == "length" and not calls:
            text += "\n\n[The model's answer was cut at its length limit.]"
        model = completion.model or self.name
        if completion.usage is None:
            return ModelReply(
                text, calls, malformed, model,
                input_tokens=sum(estimate_tokens(str(each.content)) for each in request.messages),
                output_tokens=estimate_tokens(text), estimated=True,
            )  # fmt: skip
        used = completion.usage
        return ModelReply(
            text, calls, malformed, model,
            input_tokens=max(0, used.prompt_tokens), output_tokens=max(0, used.completion_tokens),
            cost=await asyncio.to_thread(self._price, model, used),
        )  # fmt: skip

    async def _post(self, body: JsonObject) -> bytes:
        try:
            return await retried(lambda: self._api.post("/chat/completions", body), self._patience)
        except ApiFailed as error:
            raise ModelFailed(str(error)) from error

    def _price(self, model: str, used: _Usage) -> float | None:
        """The list price, where the endpoint is known to charge it: another server under the same API may not."""
        counted = Usage(input_tokens=used.prompt_tokens, output_tokens=used.completion_tokens)
        try:
            price = calc_price(counted, model_ref=model, provider_api_url=self._api.base_url)
        except LookupError:
            return None
        return float(price.total_price)


def _messages(request: ModelRequest) -> list[JsonObject]:
    known = "\n".join([_MEMORIES, *(f"- {memory}" for memory in request.memories)]) if request.memories else ""
    system = "\n\n".join(part for part in (request.instructions, known) if part)
    messages: list[JsonObject] = [{"role": "system", "content": system}] if system else []
    for message in request.messages:
        messages.extend(_wire(message))
    return messages


def _wire(message: NewMessage) -> list[JsonObject]:
    if message.role is Role.TOOL:
        return [
            {
                "role": "tool",
                "tool_call_id": each.call_id,
                "content": json.dumps({"error": each.error} if each.error else each.result, ensure_ascii=False),
            }
            for each in message.tool_results
        ]
    wire: JsonObject = {"role": message.role.value, "content": message.content}
    if message.tool_calls:
        wire["content"] = message.content or None
        wire["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in message.tool_calls
        ]
    return [wire]


def _tool(spec: ToolSpec) -> JsonObject:
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": function}


def _calls(wanted: list[_Call]) -> tuple[tuple[ToolCall, ...], dict[str, str]]:
    calls: list[ToolCall] = []
    malformed: dict[str, str] = {}
    seen: set[str] = set()
    for each in wanted:
        call_id = each.id if each.id and len(each.id) <= LONGEST_ID and each.id not in seen else new_id("call")
        seen.add(call_id)
        name = each.function.name[:LONGEST_ID] or "unnamed"
        try:
            arguments = _arguments(each.function.arguments)
        except ValueError as error:
            malformed[call_id] = f"the arguments are not a JSON object: {error}"
            arguments = {}
        calls.append(ToolCall(call_id=call_id, name=name, arguments=arguments))
    return tuple(calls), malformed


def _arguments(written: str | dict[str, Any] | None) -> JsonObject:
    value = json.loads(written or "{}") if not isinstance(written, dict) else written
    if not isinstance(value, dict):
        raise ValueError(f"it is of type {type(value).__name__}")  # noqa: TRY004 - one kind of error for one caller
    return value
