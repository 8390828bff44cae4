"""Remote agents over A2A, against a real server of the protocol's own SDK, and against wires that misbehave."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import TurnStatus
from services.runtime import a2a_agent
from services.runtime.a2a_agent import A2ARunner
from services.runtime.http_agent import ANSWER_BYTES
from services.runtime.runner import Outcome, Work
from tests.unit.runtime.a2a_server import Executor, a2a_app


def work(message: str, level: AutonomyLevel = AutonomyLevel.L2) -> Work:
    return Work(message, [], [], level, "acme", "ada", "sess-1", "turn-1")


async def ask(app: Any, message: str, url: str = "http://agent/") -> Outcome:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await A2ARunner("far", url, client, timeout_seconds=5).answer(work(message))


@pytest.mark.parametrize("versions", [("1.0",), ("0.3",), ("0.3", "1.0")])
@pytest.mark.parametrize(
    ("message", "status", "reply"),
    [
        ("hello", TurnStatus.COMPLETED, "you said: hello"),
        ("task one", TurnStatus.COMPLETED, "done: task one"),
        ("ask", TurnStatus.NEEDS_CLARIFICATION, "which one?"),
        ("fail", TurnStatus.ERROR, "its task ended as failed: out of paper"),
    ],
)
async def test_a_real_server_answers_in_every_dialect(
    versions: tuple[str, ...], message: str, status: TurnStatus, reply: str
) -> None:
    executor = Executor()
    outcome = await ask(a2a_app(executor, versions=versions), message)
    assert outcome.status is status
    assert reply in outcome.reply
    assert executor.asked == [(message, "sess-1", "turn-1")], "the session is the context, the turn the message's id"


@pytest.mark.parametrize("url", ["http://agent/rpc", "http://agent/.well-known/agent-card.json"])
async def test_the_url_may_be_the_endpoint_itself_or_the_card(url: str) -> None:
    assert (await ask(a2a_app(Executor()), "hello", url)).reply == "you said: hello"


async def test_an_older_server_without_a_card_is_spoken_to_in_its_dialect() -> None:
    methods = []

    def old(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404)
        body = json.loads(request.content)
        methods.append((body["method"], request.headers["a2a-version"]))
        if body["method"] != "message/send":
            return httpx.Response(200, json={"id": "1", "error": {"code": -32601, "message": "Method not found"}})
        message = {"kind": "message", "role": "agent", "parts": [{"kind": "text", "text": "old but here"}]}
        return httpx.Response(200, json={"id": "1", "result": message})

    async with httpx.AsyncClient(transport=httpx.MockTransport(old)) as client:
        runner = A2ARunner("far", "http://agent/a2a", client, timeout_seconds=5)
        assert (await runner.answer(work("hello"))).reply == "old but here"
        assert (await runner.answer(work("again"))).reply == "old but here"
    assert methods == [("SendMessage", "1.0"), ("message/send", "0.3"), ("message/send", "0.3")]


def served(answer: Callable[[str], httpx.Response]) -> httpx.MockTransport:
    """No card; `answer` gets the method."""

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404) if request.method == "GET" else answer(json.loads(request.content)["method"])

    return httpx.MockTransport(handle)


def task(state: str) -> dict[str, Any]:
    return {"id": "t-1", "status": {"state": state}, "artifacts": [{"parts": [{"text": "the result"}]}]}


async def test_a_task_that_is_not_finished_is_asked_for_until_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(a2a_agent, "FIRST_POLL_SECONDS", 0)
    methods: list[str] = []

    def answer(method: str) -> httpx.Response:
        methods.append(method)
        done = len(methods) == 4
        state = task("TASK_STATE_COMPLETED" if done else "TASK_STATE_WORKING")
        return httpx.Response(200, json={"result": {"task": state} if method == "SendMessage" else state})

    async with httpx.AsyncClient(transport=served(answer)) as client:
        outcome = await A2ARunner("far", "http://agent/a2a", client, timeout_seconds=5).answer(work("hello"))
    assert outcome.reply == "the result"
    assert methods == ["SendMessage", "GetTask", "GetTask", "GetTask"]


async def test_a_task_that_never_ends_is_given_up_in_time() -> None:
    def answer(method: str) -> httpx.Response:
        state = task("TASK_STATE_WORKING")
        return httpx.Response(200, json={"result": {"task": state} if method == "SendMessage" else state})

    async with httpx.AsyncClient(transport=served(answer)) as client:
        outcome = await A2ARunner("far", "http://agent/a2a", client, timeout_seconds=0.3).answer(work("hello"))
    assert "no answer within 0.3 s" in outcome.reply


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(500, text="secret stack trace"), "its endpoint answered 500"),
        (httpx.Response(302, headers={"location": "http://inside/"}), "its endpoint answered 302"),
        (httpx.Response(200, text="hello"), "not JSON"),
        (httpx.Response(200, text="[" * 100_000), "not JSON"),
        (httpx.Response(200, json={"result": {"message": {"parts": [{"data": {}}]}}}), "no text"),
        (httpx.Response(200, json={"error": {"code": -32009}}), "neither A2A 1.0 nor 0.3"),
        (httpx.Response(200, json={"error": {"code": -32000, "message": "not today"}}), "not today"),
        (httpx.Response(200, content=b"x" * (ANSWER_BYTES + 1)), "bytes"),
        (httpx.ConnectError("refused"), "cannot be reached (ConnectError)"),
    ],
)
async def test_a_remote_agent_that_fails_is_an_outcome(answer: httpx.Response | Exception, reason: str) -> None:
    def failing(_: str) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with httpx.AsyncClient(transport=served(failing)) as client:
        outcome = await A2ARunner("far", "http://agent/a2a", client, timeout_seconds=5).answer(work("hello"))
    assert outcome.status is TurnStatus.ERROR
    assert reason in outcome.reply
    assert "secret" not in outcome.reply


async def test_a_card_cannot_send_us_to_another_host() -> None:
    executor = Executor()
    outcome = await ask(a2a_app(executor, url="http://inside/rpc"), "hello")
    assert "another host" in outcome.reply
    assert executor.asked == []


@pytest.fixture
async def nobody() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: pytest.fail("it was asked"))) as client:
        yield client


async def test_it_counts_as_one_that_writes(nobody: httpx.AsyncClient) -> None:
    runner = A2ARunner("far", "http://agent/a2a", nobody, timeout_seconds=5)
    assert "needs L2" in (await runner.answer(work("hello", AutonomyLevel.L1))).reply
    assert runner.tools == ()
