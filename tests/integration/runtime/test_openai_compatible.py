"""The OpenAI-compatible model against a local server that speaks the real wire format, also when it misbehaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from bureau_contracts.runtime import Risk
from bureau_contracts.sessions import NewMessage, Role, ToolCall, ToolResult
from kit.http_client import outside_http
from kit.outside_api import Patience
from services.runtime.models.model import ModelFailed, ModelReply, ModelRequest, ToolSpec
from services.runtime.models.openai_compatible import OpenAiCompatible
from tests.openai_server import completion, failure
from tests.scripted_server import ScriptedServer, scripted_server

TOOL = ToolSpec("list_tickets", "List tickets.", {"type": "object", "properties": {}}, Risk.READ)


def tool_call(arguments: str, call_id: str = "call_abc", name: str = "list_tickets") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as server:
        yield server


MakeModel = Callable[..., OpenAiCompatible]


@pytest.fixture
async def make(provider: ScriptedServer) -> AsyncIterator[MakeModel]:
    async with outside_http(timeout_seconds=5, connect_seconds=2) as client:

        def model(key: str = "sk-secret", seconds: float = 5, port: int | None = None) -> OpenAiCompatible:
            return OpenAiCompatible(
                "gpt-4o-mini", client, base_url=f"http://127.0.0.1:{port or provider.port}/v1/",
                api_key=SecretStr(key), timeout_seconds=seconds, patience=Patience(first_pause_seconds=0.01),
            )  # fmt: skip

        yield model


async def ask(model: OpenAiCompatible, *messages: NewMessage, **more: Any) -> ModelReply:
    said = messages or (NewMessage(role=Role.USER, content="show my tickets"),)
    return await model.complete(ModelRequest("Be kind.", said, [TOOL], **more))


async def test_the_request_is_a_chat_completion_with_tools(provider: ScriptedServer, make: MakeModel) -> None:
    provider.answers = [completion({"content": "Two tickets."})]
    history = [
        NewMessage(role=Role.USER, content="show my tickets"),
        NewMessage(role=Role.ASSISTANT, tool_calls=[ToolCall(call_id="c1", name="list_tickets", arguments={"a": "ü"})]),
        NewMessage(role=Role.TOOL, tool_results=[
            ToolResult(call_id="c1", name="list_tickets", result=[{"id": 1}]),
            ToolResult(call_id="c2", name="list_tickets", error="away"),
        ]),
    ]  # fmt: skip
    reply = await ask(make(), *history, memories=["likes tea"])
    assert reply.text == "Two tickets."
    asked = provider.requests[0]
    first, headers, body = asked.line, asked.headers, asked.body
    assert first == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == "Bearer sk-secret"
    assert body["model"] == "gpt-4o-mini"
    assert body["tools"] == [{"type": "function", "function": {
        "name": "list_tickets", "description": "List tickets.", "parameters": TOOL.parameters}}]  # fmt: skip
    assert [each["role"] for each in body["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    assert body["messages"][0]["content"].startswith("Be kind.")
    assert "- likes tea" in body["messages"][0]["content"]
    call = body["messages"][2]["tool_calls"][0]
    assert (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) == (
        "c1",
        "list_tickets",
        {"a": "ü"},
    )
    assert [json.loads(each["content"]) for each in body["messages"][3:]] == [[{"id": 1}], {"error": "away"}]


async def test_tool_calls_come_out_as_structure(provider: ScriptedServer, make: MakeModel) -> None:
    provider.answers = [
        completion({"content": None, "tool_calls": [tool_call('{"status": "open"}')]}, finish="tool_calls")
    ]
    reply = await ask(make())
    assert [(each.call_id, each.name, each.arguments) for each in reply.tool_calls] == [
        ("call_abc", "list_tickets", {"status": "open"})
    ]
    assert (reply.text, dict(reply.malformed)) == ("", {})


@pytest.mark.parametrize("written", ["{not json", "[1, 2]", '"text"', "null"])
async def test_arguments_that_are_no_object_are_reported_and_not_guessed(
    provider: ScriptedServer, make: MakeModel, written: str
) -> None:
    provider.answers = [completion({"content": None, "tool_calls": [tool_call(written), tool_call("", "second")]})]
    reply = await ask(make())
    assert list(reply.malformed) == ["call_abc"]
    assert [each.arguments for each in reply.tool_calls] == [{}, {}]


async def test_call_ids_are_unique_and_bounded_whatever_the_model_writes(
    provider: ScriptedServer, make: MakeModel
) -> None:
    calls = [
        tool_call("{}", "same"),
        tool_call("{}", "same"),
        tool_call("{}", ""),
        tool_call("{}", "x" * 500, "n" * 500),
    ]
    provider.answers = [completion({"content": None, "tool_calls": calls})]
    reply = await ask(make())
    ids = [each.call_id for each in reply.tool_calls]
    assert ids[0] == "same"
    assert len(set(ids)) == 4
    assert all(1 <= len(each) <= 200 for each in ids)


async def test_usage_is_the_providers_and_an_estimate_says_that_it_is_one(
    provider: ScriptedServer, make: MakeModel
) -> None:
    provider.answers = [completion({"content": "Hello."}), completion({"content": "Hello."}, usage=None)]
    counted, guessed = await ask(make()), await ask(make())
    assert (counted.input_tokens, counted.output_tokens, counted.estimated) == (1000, 100, False)
    assert guessed.estimated
    assert guessed.input_tokens > 0


async def test_the_price_is_the_providers_and_unknown_for_another_server(
    provider: ScriptedServer, make: MakeModel
) -> None:
    provider.answers = [completion({"content": "Hello."})]
    assert (await ask(make())).cost is None, "another server under the same API may charge anything, or nothing"

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=provider.answers[0][2])  # type: ignore[index]  # set above

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        model = OpenAiCompatible(
            "gpt-4o-mini", client, base_url="https://api.openai.com/v1", api_key=SecretStr(""), timeout_seconds=5
        )
        assert (await ask(model)).cost == pytest.approx(1000 * 0.15e-6 + 100 * 0.6e-6)
        provider.answers = [completion({"content": "Hello."}, model="gpt-never-heard-of")]
        assert (await ask(model)).cost is None


async def test_a_rate_limit_is_waited_out_as_long_as_the_provider_says(
    provider: ScriptedServer, make: MakeModel
) -> None:
    provider.answers = [failure(429, retry_after="0.2"), completion({"content": "Hello."})]
    began = asyncio.get_running_loop().time()
    assert (await ask(make())).text == "Hello."
    assert asyncio.get_running_loop().time() - began >= 0.2


@pytest.mark.parametrize("status", [500, 502, 503, 529])
async def test_a_failing_server_is_asked_again(provider: ScriptedServer, make: MakeModel, status: int) -> None:
    provider.answers = [failure(status), completion({"content": "Hello."})]
    assert (await ask(make())).text == "Hello."
    assert len(provider.requests) == 2


async def test_after_the_last_attempt_the_failure_comes_out(provider: ScriptedServer, make: MakeModel) -> None:
    provider.answers = [failure(503, "overloaded")]
    with pytest.raises(ModelFailed, match="answered 503: overloaded"):
        await ask(make())
    assert len(provider.requests) == Patience().attempts


async def test_a_pause_that_is_too_long_is_not_waited_for(provider: ScriptedServer, make: MakeModel) -> None:
    provider.answers = [failure(429, "quota", retry_after="3600")]
    with pytest.raises(ModelFailed, match="quota"):
        await ask(make())
    assert len(provider.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_will_not_change_is_not_asked_again(provider: ScriptedServer, make: MakeModel, status: int) -> None:
    provider.answers = [failure(status, "wrong key")]
    with pytest.raises(ModelFailed, match="wrong key") as failed:
        await ask(make())
    assert len(provider.requests) == 1
    assert "sk-secret" not in str(failed.value)


async def test_a_server_that_never_answers_is_given_up_on(provider: ScriptedServer, make: MakeModel) -> None:
    provider.answers = [None]
    with pytest.raises(ModelFailed, match=r"did not answer within 0\.1 s"):
        await ask(make(seconds=0.1))


async def test_a_server_that_is_not_there_is_named_as_such(make: MakeModel) -> None:
    with pytest.raises(ModelFailed, match="cannot be reached"):
        await ask(make(port=1))


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": 3}]}', b""])
async def test_an_answer_that_is_no_completion_is_a_failure(
    provider: ScriptedServer, make: MakeModel, content: bytes
) -> None:
    provider.answers = [(200, {}, content)]
    with pytest.raises(ModelFailed, match="the model's endpoint"):
        await ask(make())


async def test_an_answer_that_was_cut_says_so_and_a_refusal_is_an_answer(
    provider: ScriptedServer, make: MakeModel
) -> None:
    provider.answers = [
        completion({"content": "Once upon"}, finish="length"),
        completion({"content": None, "refusal": "No."}),
    ]
    assert (await ask(make())).text.endswith("cut at its length limit.]")
    assert (await ask(make())).text == "No."


async def test_without_a_key_none_is_sent(provider: ScriptedServer, make: MakeModel) -> None:
    provider.answers = [completion({"content": "Hello."})]
    await ask(make(key=""))
    assert "authorization" not in provider.requests[0].headers
