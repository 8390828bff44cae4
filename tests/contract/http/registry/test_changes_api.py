"""The change feed: in order, without a gap, only what the caller may see, and never longer than it should."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from kit.identity import PRINCIPAL_HEADER, PrincipalSigner
from services.registry.store_memory import MemoryStore
from tests.contract.http.registry.world import ACME, GLOBEX, PRIVATE, As, agent, assert_problem
from tests.servers import serving

FEED = "/registry/changes"


async def changes(client: httpx.AsyncClient, after: int = 0, **params: Any) -> dict[str, Any]:
    response = await client.get(FEED, params={"after": after, "wait_seconds": 0} | params)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def told(page: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(each["name"], each["change"], each["revision"]) for each in page["changes"]]


async def test_the_newest_change_of_each_thing_is_told_in_order(client: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await client.post("/registry/agents", json=agent(name=name))
    await client.patch("/registry/agents/a/status", json={"enabled": False})
    await client.delete("/registry/agents/b")
    page = await changes(client)
    assert told(page) == [("c", "registered", 1), ("a", "updated", 2), ("b", "deleted", 2)]
    assert [each["enabled"] for each in page["changes"]] == [True, False, None]
    assert [each["seq"] for each in page["changes"]] == [3, 4, 5]
    assert (page["seq"], page["reset"]) == (5, False)
    assert told(await changes(client, after=3)) == [("a", "updated", 2), ("b", "deleted", 2)]
    assert told(await changes(client, after=5)) == []


async def test_pages_follow_each_other(client: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await client.post("/registry/agents", json=agent(name=name))
    first = await changes(client, limit=2)
    assert ([each["name"] for each in first["changes"]], first["seq"]) == (["a", "b"], 2)
    rest = await changes(client, after=first["seq"], limit=2)
    assert ([each["name"] for each in rest["changes"]], rest["seq"]) == (["c"], 3)


async def test_prompts_are_in_the_feed(client: httpx.AsyncClient) -> None:
    await client.post("/registry/prompts/greeting/versions", json={"text": "Hello"})
    await client.put("/registry/prompts/greeting/labels/production", json={"version": 1})
    (change,) = (await changes(client))["changes"]
    assert (change["kind"], change["name"], change["revision"], change["enabled"]) == ("prompt", "greeting", 2, None)


async def test_who_waits_is_told_at_once(client: httpx.AsyncClient) -> None:
    waiting = asyncio.ensure_future(changes(client, wait_seconds=30))
    while not waiting.done():
        await asyncio.sleep(0)  # until it waits
        if len(asyncio.all_tasks()) > 2:
            break
    began = time.perf_counter()
    await client.post("/registry/agents", json=agent())
    assert told(await waiting) == [("tickets", "registered", 1)]
    assert time.perf_counter() - began < 0.5


async def test_who_waits_for_nothing_gets_an_empty_page_in_time(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    assert await changes(client, after=1, wait_seconds=0.05) == {"changes": [], "seq": 1, "reset": False}


class CommitsInTheGap(MemoryStore):
    """Commits exactly between the moment that a reader has seen the document and the moment that it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.client: httpx.AsyncClient | None = None

    async def newer_than(self, seq: int) -> Any:
        if (client := self.client) is not None:
            self.client = None
            assert (await client.post("/registry/agents", json=agent())).status_code == 201
        return await super().newer_than(seq)


class TestAGap:
    @pytest.fixture
    def store(self) -> MemoryStore:
        return CommitsInTheGap()

    async def test_what_is_committed_between_looking_and_waiting_is_not_missed(
        self, client: httpx.AsyncClient, store: CommitsInTheGap
    ) -> None:
        store.client = client
        began = time.perf_counter()
        assert told(await changes(client, wait_seconds=20)) == [("tickets", "registered", 1)]
        assert time.perf_counter() - began < 5


async def test_no_change_of_many_is_missed_by_a_reader_that_goes_on(client: httpx.AsyncClient) -> None:
    async def write() -> None:
        for number in range(100):
            assert (await client.post("/registry/agents", json=agent(name=f"a{number}"))).status_code == 201

    seen, after = list[str](), 0
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        while len(seen) < 100:
            page = await changes(client, after=after, wait_seconds=10)
            assert page["changes"], "something was missed"
            seen += [each["name"] for each in page["changes"]]
            after = page["seq"]
    assert seen == [f"a{number}" for number in range(100)]


async def test_another_tenants_changes_are_not_told_and_end_no_wait(client_of: As) -> None:
    acme, globex = client_of(ACME), client_of(GLOBEX)
    await acme.post("/registry/agents", json=agent(owner="acme"))
    page = await changes(globex)
    assert (page["changes"], page["seq"]) == ([], 1)
    waiting = asyncio.ensure_future(changes(globex, after=1, wait_seconds=0.3))
    await acme.patch("/registry/agents/tickets", json={"description": "x"})
    page = await waiting
    assert (page["changes"], page["seq"]) == ([], 2)


async def test_a_name_that_went_over_to_another_tenant_was_deleted_for_the_first(client_of: As) -> None:
    acme, globex = client_of(ACME), client_of(GLOBEX)
    await acme.post("/registry/agents", json=agent(owner="acme"))
    after = (await changes(acme))["seq"]
    await acme.delete("/registry/agents/tickets")
    await globex.post("/registry/agents", json=agent(owner="globex"))
    assert told(await changes(acme, after=after)) == [("tickets", "deleted", 2)]
    assert told(await changes(globex, after=after)) == [("tickets", "registered", 3)]


async def test_an_agent_that_is_no_longer_shared_was_deleted_for_the_others(client_of: As) -> None:
    acme, globex = client_of(ACME), client_of(GLOBEX)
    await acme.post("/registry/agents", json=agent())
    document = {"version": "1.1.0", "agents": {"tickets": {"http": "http://x/turn", "owner": "acme"}}}
    assert (await acme.post("/registry/import", json=document)).status_code == 200
    assert told(await changes(globex, after=1)) == [("tickets", "deleted", 2)]
    assert told(await changes(acme, after=1)) == [("tickets", "imported", 2)]


async def test_who_knows_more_than_the_registry_must_begin_anew(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    began = time.perf_counter()
    assert await changes(client, after=7, wait_seconds=20) == {"changes": [], "seq": 1, "reset": True}
    assert time.perf_counter() - began < 5


async def test_after_a_loss_whoever_followed_before_must_begin_anew_and_a_newcomer_not(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    await client.post("/registry/agents", json=agent())
    await store.commit(lambda document: document.after_a_loss())
    page = await changes(client, after=1)
    assert (page["reset"], page["changes"]) == (True, [])
    assert (await changes(client, after=page["seq"]))["reset"] is False
    assert told(await changes(client)) == [("tickets", "registered", 1)]
    await client.delete("/registry/agents/tickets")
    assert told(await changes(client, after=page["seq"])) == [("tickets", "deleted", 2)]


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=" + "9" * 30, "wait_seconds=31", "wait_seconds=nan", "limit=0"]
)
async def test_parameters_out_of_their_range_are_refused(client: httpx.AsyncClient, query: str) -> None:
    assert_problem(await client.get(f"{FEED}?{query}"), 422, "invalid")


async def test_without_identity_nothing_is_told(client_of: As) -> None:
    assert_problem(await client_of(None).get(FEED), 401, "unauthenticated")


@asynccontextmanager
async def stream(url: str, **headers: str) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """Over a real connection: a stream in process would be gathered before it is given."""
    token = PrincipalSigner(PRIVATE, "tests").sign(ACME, "registry")
    headers = {PRINCIPAL_HEADER: token, "accept": "text/event-stream"} | headers
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=10) as client,
        client.stream("GET", FEED) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _events(response)


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line and not line.startswith(":"):
            field, _, value = line.partition(": ")
            event[field] = value
        elif "data" in event:
            yield event
            event = {}


async def test_a_stream_tells_every_change_and_resumes_after_the_last_event(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    await client.post("/registry/agents", json=agent(name="a"))
    async with serving(app) as url:
        async with stream(url) as events:
            first = await anext(events)
            assert (first["id"], json.loads(first["data"])["name"]) == ("1", "a")
            await client.post("/registry/agents", json=agent(name="b"))
            assert json.loads((await anext(events))["data"])["name"] == "b"
        await client.post("/registry/agents", json=agent(name="c"))
        async with stream(url, **{"last-event-id": "2"}) as events:
            assert json.loads((await anext(events))["data"])["name"] == "c"
        async with stream(url, **{"last-event-id": "99"}) as events:
            reset = await anext(events)
            assert (reset["event"], reset["id"], json.loads(reset["data"])) == ("reset", "3", {"seq": 3})


async def test_streams_and_polls_end_within_a_second_when_the_server_stops(app: FastAPI) -> None:
    async with serving(app) as url:
        token = PrincipalSigner(PRIVATE, "tests").sign(ACME, "registry")
        async with httpx.AsyncClient(base_url=url, headers={PRINCIPAL_HEADER: token}, timeout=10) as http:
            poll = asyncio.ensure_future(http.get(FEED, params={"wait_seconds": 30}))
            async with stream(url) as events:
                following = asyncio.ensure_future(anext(events, None))
                await asyncio.wait([poll, following], timeout=0.2)
                assert not poll.done()
                assert not following.done()
                began = time.perf_counter()
                app.state.stopping.set()
                assert (await poll).json() == {"changes": [], "seq": 0, "reset": False}
                assert await following is None
                assert time.perf_counter() - began < 1
