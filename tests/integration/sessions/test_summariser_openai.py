"""The summariser behind an endpoint that speaks OpenAI's chat completions, also when that misbehaves."""

from collections.abc import AsyncIterator, Callable

import pytest
from pydantic import SecretStr

from bureau_contracts.sessions import Role
from kit.http_client import outside_http
from services.sessions.store_memory import MemorySessionStore
from services.sessions.summariser import Material, SummariserFailed
from services.sessions.summariser_extractive import ExtractiveSummariser
from services.sessions.summariser_fallback import SummariserWithFallback
from services.sessions.summariser_openai import LONG_MESSAGE_TOKENS, PATIENCE, OpenAiSummariser
from services.sessions.tokens import estimated_tokens
from tests.openai_server import completion, failure
from tests.scripted_server import Answer, ScriptedServer, scripted_server
from tests.session_compaction import House
from tests.unit.sessions.long_conversation import conversation, said

MATERIAL = Material("They met in Leeds.", conversation()[:60])
Make = Callable[..., OpenAiSummariser]


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as made:
        yield made


@pytest.fixture
async def make(provider: ScriptedServer) -> AsyncIterator[Make]:
    async with outside_http(timeout_seconds=5, connect_seconds=2) as client:

        def summariser(key: str = "sk-secret", seconds: float = 5, port: int | None = None) -> OpenAiSummariser:
            url = f"http://127.0.0.1:{port or provider.port}/v1/"
            return OpenAiSummariser("small", client, base_url=url, api_key=SecretStr(key), timeout_seconds=seconds)

        yield summariser


async def test_the_request_is_a_chat_completion_over_the_material(provider: ScriptedServer, make: Make) -> None:
    provider.answers = [completion({"content": " They agreed on a refund. "})]
    made = await make().summarise(MATERIAL, 300)
    assert (made.text, made.made_by) == ("They agreed on a refund.", "openai:small")
    asked = provider.requests[0]
    first, headers, body = asked.line, asked.headers, asked.body
    assert first == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == "Bearer sk-secret"
    assert set(body) == {"model", "messages"}
    system, user = body["messages"]
    assert (body["model"], system["role"], user["role"]) == ("small", "system", "user")
    assert "at most 200 words" in system["content"]
    assert "They met in Leeds." in user["content"]
    assert "[1] user: Good morning" in user["content"]
    assert "] tool: get_order(id=88-41729) → id=88-41729, status=held" in user["content"]


async def test_without_a_key_none_is_sent(provider: ScriptedServer, make: Make) -> None:
    provider.answers = [completion({"content": "short"})]
    await make(key="").summarise(MATERIAL, 300)
    assert "authorization" not in provider.requests[0].headers


async def test_of_a_very_long_message_the_model_sees_an_extract(provider: ScriptedServer, make: Make) -> None:
    provider.answers = [completion({"content": "short"})]
    long = said(Role.USER, "The fee is $7,301. " + "Then nothing happened for a while. " * 20_000)
    await make().summarise(Material("", [long]), 300)
    shown = provider.requests[0].body["messages"][1]["content"]
    assert "$7,301" in shown
    assert estimated_tokens(shown) < 2 * LONG_MESSAGE_TOKENS


ENDPOINT = "the model's endpoint"
BAD: list[tuple[str, Answer, int, str]] = [
    ("full", failure(429), PATIENCE.attempts, f"{ENDPOINT} answered 429"),
    (
        "broken",
        failure(500, "secret words of the conversation"),
        PATIENCE.attempts,
        f"{ENDPOINT} answered 500",
    ),
    ("refused", failure(401, "bad key sk-secret"), 1, f"{ENDPOINT} answered 401"),
    ("moved", (302, {"location": "http://127.0.0.1:1/"}, b""), 1, f"{ENDPOINT} answered 302"),
    ("garbage", (200, {}, b"<html>"), 1, "did not answer with a chat completion"),
    ("no choice", (200, {}, b'{"choices": []}'), 1, "gave an empty answer"),
    ("empty", completion({"content": "  \n"}), 1, "gave an empty answer"),
    ("null", completion({"content": None}), 1, "gave an empty answer"),
    ("cut", completion({"content": "They agreed on"}, finish="length"), 1, "its summary was cut at a length limit"),
    ("too long", completion({"content": "word " * 1000}), 1, "its summary was too long"),
    (
        "far too much",
        (200, {}, b"x" * (2 * 1024 * 1024)),
        1,
        f"{ENDPOINT} answered with more than 1048576 bytes",
    ),
]


@pytest.mark.parametrize(("answer", "asked", "reason"), [each[1:] for each in BAD], ids=[each[0] for each in BAD])
async def test_what_is_no_summary_is_a_reason(
    provider: ScriptedServer, make: Make, answer: Answer, asked: int, reason: str
) -> None:
    provider.answers = [answer]
    with pytest.raises(SummariserFailed) as failed:
        await make().summarise(MATERIAL, 300)
    assert str(failed.value) == reason, "nothing of the conversation, and no key"
    assert len(provider.requests) == asked


async def test_a_second_try_helps(provider: ScriptedServer, make: Make) -> None:
    provider.answers = [failure(503), completion({"content": "short"})]
    assert (await make().summarise(MATERIAL, 300)).text == "short"


async def test_an_endpoint_that_hangs_is_given_up(provider: ScriptedServer, make: Make) -> None:
    provider.answers = [None]
    with pytest.raises(SummariserFailed, match=r"(no|did not) answer within 0\.2 s"):
        await make(seconds=0.2).summarise(MATERIAL, 300)


async def test_an_endpoint_that_is_away_is_a_reason(make: Make) -> None:
    with pytest.raises(SummariserFailed, match="cannot be reached"):
        await make(port=1).summarise(MATERIAL, 300)


async def test_when_the_model_fails_an_extract_is_made_and_says_so(provider: ScriptedServer, make: Make) -> None:
    provider.answers = [failure(500)]
    made = await SummariserWithFallback(make(), ExtractiveSummariser()).summarise(MATERIAL, 300)
    assert made.made_by == "extractive (openai:small failed: the model's endpoint answered 500)"
    assert "Leeds" in made.text


async def test_a_session_is_compacted_by_a_model(provider: ScriptedServer, make: Make) -> None:
    provider.answers = [completion({"content": "Sixty tickets are with Maria Lopez."})]
    house = House(MemorySessionStore(), SummariserWithFallback(make(), ExtractiveSummariser()))
    await house.create(messages=60)
    answer = await house.compact(max_tokens=400)
    assert answer.summary is not None
    assert (answer.summary.text, answer.summary.made_by) == ("Sixty tickets are with Maria Lopez.", "openai:small")
