"""The client's one request: what is repeated, what is not, and what a failure becomes."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from bureau import Bureau, errors, http
from bureau_contracts.memory import NewMemory
from bureau_contracts.registry import AgentPatch
from bureau_contracts.sessions import NewMessage, Role

Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers requests one after the other with what it was given, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def problem(status: int, code: str = "x", **more: object) -> httpx.Response:
    document = {"title": "t", "status": status, "code": code, "detail": "d", "trace_id": "a" * 32, **more}
    return httpx.Response(status, json=document, headers={"content-type": "application/problem+json"})


AGENTS = httpx.Response(200, json={"agents": [], "total": 0, "a_field_of_tomorrow": 1})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    return pauses


def bureau(server: Server) -> Bureau:
    return Bureau("http://bureau", "bk_key", transport=httpx.MockTransport(server))


async def test_the_key_is_sent_and_unknown_fields_of_an_answer_are_ignored() -> None:
    server = Server(AGENTS)
    async with bureau(server) as client:
        assert (await client.agents.page()).total == 0
    assert server.asked[0].headers["authorization"] == "Bearer bk_key"


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), problem(503), problem(429), problem(502)]
)
async def test_a_read_is_repeated_after_what_may_pass(failure: httpx.Response | Exception) -> None:
    server = Server(failure, AGENTS)
    async with bureau(server) as client:
        assert (await client.agents.page()).total == 0
    assert len(server.asked) == 2


async def test_the_servers_wish_to_wait_is_followed_up_to_a_bound(no_pauses: list[float]) -> None:
    server = Server(problem(503, retry_after=1.5), problem(429, retry_after=3600), AGENTS)
    async with bureau(server) as client:
        await client.agents.page()
    assert no_pauses == [1.5, http.LONGEST_PAUSE_SECONDS]


async def test_patience_ends() -> None:
    server = Server(*[problem(503, "unavailable", retry_after=1)] * http.ATTEMPTS)
    async with bureau(server) as client:
        with pytest.raises(errors.Unavailable) as failed:
            await client.agents.page()
    assert (failed.value.code, failed.value.retry_after, failed.value.trace_id) == ("unavailable", 1, "a" * 32)
    assert len(server.asked) == http.ATTEMPTS


@pytest.mark.parametrize("failure", [httpx.ReadTimeout("slow"), problem(503)])
async def test_a_call_that_would_act_twice_is_not_repeated(failure: httpx.Response | Exception) -> None:
    server = Server(failure, AGENTS)
    async with bureau(server) as client:
        with pytest.raises(errors.Unavailable):
            await client.sessions.add_message("sess-1", NewMessage(role=Role.USER, content="hi"))
    assert len(server.asked) == 1


async def test_a_write_under_an_idempotency_key_is_repeated_under_it() -> None:
    server = Server(httpx.ReadTimeout("slow"), httpx.Response(201, json={"status": "added", "seq": 7}))
    async with bureau(server) as client:
        message = NewMessage(role=Role.USER, content="hi")
        assert (await client.sessions.add_message("sess-1", message, idempotency_key="k-1")).seq == 7
    assert [request.headers["idempotency-key"] for request in server.asked] == ["k-1", "k-1"]


async def test_a_call_that_is_stored_once_is_repeated() -> None:
    stored = httpx.Response(201, json={"memory_id": "mem-1", "created": True})
    server = Server(httpx.ReadTimeout("slow"), stored)
    async with bureau(server) as client:
        assert (await client.memory.store(NewMemory(text="tea"))).created
    assert server.asked[0].content == server.asked[1].content == b'{"text":"tea"}'


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid), (401, errors.Unauthenticated), (403, errors.Forbidden), (404, errors.NotFound),
        (409, errors.Conflict), (412, errors.Conflict), (413, errors.Invalid), (418, errors.Refused),
        (422, errors.Invalid), (500, errors.ServerFailed), (501, errors.ServerFailed),
    ],
)  # fmt: skip
async def test_an_error_is_raised_by_its_status_at_once(status: int, kind: type[errors.BureauError]) -> None:
    server = Server(problem(status, "some_code"))
    async with bureau(server) as client:
        with pytest.raises(kind) as failed:
            await client.agents.page()
    assert type(failed.value) is kind
    assert (failed.value.status, failed.value.code, failed.value.detail) == (status, "some_code", "d")


async def test_an_error_page_of_something_in_between_is_an_error_too() -> None:
    server = Server(httpx.Response(404, text="<html>not here</html>", headers={"x-trace-id": "b" * 32}))
    async with bureau(server) as client:
        with pytest.raises(errors.NotFound) as failed:
            await client.agents.get("tickets")
    assert (failed.value.code, failed.value.trace_id) == ("http_404", "b" * 32)


async def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    server = Server(problem(404))
    async with bureau(server) as client:
        with pytest.raises(errors.NotFound):
            await client.agents.get("../../sessions?x=")
    assert server.asked[0].url.raw_path == b"/registry/agents/..%2F..%2Fsessions%3Fx%3D"


async def test_only_what_was_given_is_sent() -> None:
    server = Server(problem(404))
    async with bureau(server) as client:
        with pytest.raises(errors.NotFound):
            await client.agents.update("a", AgentPatch(description=""), if_revision=3)
    assert json.loads(server.asked[0].content) == {"description": ""}
    assert server.asked[0].headers["if-match"] == '"3"'


def agent(name: str) -> dict[str, object]:
    moment = "2026-01-01T00:00:00Z"
    return {"name": name, "http": "http://a", "revision": 1, "registered_at": moment, "updated_at": moment}


async def test_pages_are_followed_to_the_end() -> None:
    server = Server(
        httpx.Response(200, json={"agents": [agent("a")], "total": 2, "next_cursor": "c1"}),
        httpx.Response(200, json={"agents": [agent("b")], "total": 2}),
    )
    async with bureau(server) as client:
        assert [each.name async for each in client.agents.all()] == ["a", "b"]
    assert server.asked[1].url.params["cursor"] == "c1"


def events(*seqs: int) -> httpx.Response:
    moment = "2026-01-01T00:00:00Z"
    rows = [
        {"seq": n, "type": "job.transition", "status": "running", "timestamp": moment, "subject": "j"} for n in seqs
    ]
    text = "".join(f"id: {row['seq']}\ndata: {json.dumps(row)}\n\n" for row in rows)
    return httpx.Response(200, text=": ping\n\n" + text, headers={"content-type": "text/event-stream"})


async def test_a_cut_event_stream_is_taken_up_where_it_was() -> None:
    class CutAfter(httpx.AsyncByteStream):
        async def __aiter__(self):  # type: ignore[no-untyped-def]  # an async generator of bytes
            yield events(1, 2).content
            raise httpx.ReadError("cut")

    server = Server(httpx.Response(200, stream=CutAfter()), httpx.ConnectError("away"), events(3))
    async with bureau(server) as client:
        assert [event.seq async for event in client.jobs.events("job-1")] == [1, 2, 3]
    assert [request.headers["last-event-id"] for request in server.asked] == ["0", "2", "2"]


async def test_the_events_of_a_job_that_is_not_there_are_an_error() -> None:
    async with bureau(Server(problem(404, "job_not_found"))) as client:
        with pytest.raises(errors.NotFound):
            await anext(client.jobs.events("job-1"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("files.read", "/agent/tools/files.read/call"),
        ("parcels/list_parcels", "/agent/tools/parcels/list_parcels/call"),
        ("../../registry/x?y#z", "/agent/tools/%2E%2E/%2E%2E/registry/x%3Fy%23z/call"),
    ],
)
async def test_a_tools_name_leads_to_no_other_path(name: str, path: str) -> None:
    server = Server(httpx.ConnectError("away"))
    async with bureau(server) as client:
        with pytest.raises(errors.NotReached):
            await client.runtime.call_tool(name, {"a": 1})
    assert [request.url.raw_path.decode() for request in server.asked] == [path], "a call is sent once"
