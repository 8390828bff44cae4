"""The sessions' routes over every store: what they answer, and whom they refuse."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from kit.identity import ADMIN, TENANT_WIDE, Principal, generate_keypair
from kit.settings import CommonSettings
from services.sessions.app import create_app
from services.sessions.settings import Settings
from tests.fakes import FixedClock
from tests.http import service_client
from tests.session_stores import UNCACHED, make_store

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
ANNA = Principal("acme", "anna")
BOB = Principal("acme", "bob")
OPERATOR = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
STRANGER = Principal("globex", "anna", scopes=frozenset({ADMIN}))
BESIDE = {"/sessions/backup", "/sessions/search", "/sessions/import", "/sessions/sweep", "/sessions/cleanup"}
"""Routes of no one session, each with a file of tests of its own."""
TURN = {
    "turn_id": "turn-1",
    "messages": [
        {"role": "user", "content": "show my tickets"},
        {"role": "assistant", "content": "Two.", "agent": "t"},
    ],
    "invocations": [{"agent_name": "tickets", "query": "show my tickets", "response": "Two.", "duration_ms": 12.5}],
    "context": {"last_agent_called": "tickets", "last_query": "show my tickets", "last_response": "Two."},
    "state": {"seen": [1, 2], "temp:scratch": 1},
    "status": "completed",
    "answer": {"reply": "Two."},
}


@dataclass
class Bench:
    app: FastAPI
    clock: FixedClock

    def client(self, principal: Principal | None = ANNA) -> httpx.AsyncClient:
        return service_client(self.app, principal, "sessions", PRIVATE_KEY)


@pytest.fixture(params=UNCACHED)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC_KEY))
    clock = FixedClock()
    app = create_app(settings, store=make_store(request.param, request), clock=clock)
    async with app.router.lifespan_context(app):
        yield Bench(app, clock)


@pytest.fixture
async def anna(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    """Anna, who has one session with a turn in it."""
    async with bench.client() as client:
        assert (await client.post("/sessions", json={"session_id": "sess-1"})).status_code == 201
        assert (await client.post("/sessions/sess-1/turns", json=TURN)).status_code == 201
        yield client


async def test_only_the_named_fields_are_sent(anna: httpx.AsyncClient) -> None:
    page = (await anna.get("/sessions", params={"fields": "session_id, status"})).json()
    assert page == {"sessions": [{"session_id": "sess-1", "status": "completed"}], "next_cursor": None}
    history = (await anna.get("/sessions/sess-1/history", params={"fields": "seq,role", "limit": 1})).json()
    assert history == {"messages": [{"seq": 2, "role": "assistant"}], "next_before": 2, "next_after": None}


@pytest.mark.parametrize("path", ["/sessions", "/sessions/sess-1/history"])
@pytest.mark.parametrize("fields", ["", "secret", "seq,,role", "__class__", "session_id,passwords"])
async def test_a_field_that_is_not_there_is_refused(anna: httpx.AsyncClient, path: str, fields: str) -> None:
    assert problem(await anna.get(path, params={"fields": fields})) == (422, "unknown_field")


async def test_a_list_is_filtered_by_agent_and_time(anna: httpx.AsyncClient, bench: Bench) -> None:
    at = bench.clock.now()

    async def listed(**params: str) -> list[str]:
        page = (await anna.get("/sessions", params=params)).raise_for_status().json()
        return [session["session_id"] for session in page["sessions"]]

    assert await listed(agent="tickets") == ["sess-1"]
    assert await listed(agent="billing") == []
    assert await listed(since=at.isoformat()) == ["sess-1"]
    assert await listed(until=at.isoformat()) == []
    assert await listed(agent="tickets", since=at.isoformat(), status="completed") == ["sess-1"]
    for params in ({"since": "yesterday"}, {"since": "2026-01-01T00:00:00"}, {"agent": "No Such Name!"}):
        assert problem(await anna.get("/sessions", params=params)) == (422, "invalid")


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and code; every refusal has the one shape."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["trace_id"] == response.headers["x-trace-id"]
    return response.status_code, body["code"]


async def whole(client: httpx.AsyncClient) -> Any:
    return (await client.get("/sessions/sess-1?history_limit=1000")).json()


async def test_a_session_is_created_for_its_caller(bench: Bench) -> None:
    async with bench.client() as anna:
        created = await anna.post("/sessions", json={"title": "Tickets", "metadata": {"a": [1, 2.5, None]}})
        assert created.status_code == 201
        session_id = created.json()["session_id"]
        session = (await anna.get(f"/sessions/{session_id}")).json()["session"]
    assert (session["tenant"], session["user_id"], session["title"]) == ("acme", "anna", "Tickets")
    assert (session["status"], session["lifecycle"], session["message_count"]) == ("idle", "active", 0)
    assert session["metadata"] == {"a": [1, 2.5, None]}
    assert session["created_at"] == "2026-01-02T03:04:05Z"


async def test_a_chosen_id_that_is_taken_is_refused_within_the_tenant_alone(
    bench: Bench, anna: httpx.AsyncClient
) -> None:
    assert problem(await anna.post("/sessions", json={"session_id": "sess-1"})) == (409, "session_exists")
    async with bench.client(STRANGER) as stranger:
        assert (await stranger.post("/sessions", json={"session_id": "sess-1"})).status_code == 201


async def test_only_a_tenant_wide_scope_creates_for_another_user(bench: Bench) -> None:
    async with bench.client() as anna, bench.client(OPERATOR) as operator:
        assert problem(await anna.post("/sessions", json={"user_id": "bob"})) == (403, "other_user")
        session_id = (await operator.post("/sessions", json={"user_id": "anna"})).json()["session_id"]
        assert (await anna.get(f"/sessions/{session_id}")).status_code == 200


async def test_a_session_is_read_whole(anna: httpx.AsyncClient) -> None:
    view = await whole(anna)
    assert [message["content"] for message in view["conversation_history"]] == ["show my tickets", "Two."]
    assert [message["seq"] for message in view["conversation_history"]] == [1, 2]
    assert view["agents_invoked"][0]["agent_name"] == "tickets"
    assert view["context"] == TURN["context"]
    assert (view["session"]["status"], view["session"]["state"]) == ("completed", {"seen": [1, 2]})
    none = (await anna.get("/sessions/sess-1?history_limit=0")).json()
    assert none["conversation_history"] == []


async def test_a_message_is_added_with_the_trace_of_its_request(anna: httpx.AsyncClient) -> None:
    call = {"call_id": "1", "name": "find", "arguments": {"q": {"deep": 10**30}}}
    trace = "0af7651916cd43dd8448eb211c80319c"
    added = await anna.post(
        "/sessions/sess-1/history",
        json={"role": "assistant", "content": [{"type": "text", "text": "Zoë 👩‍🚀"}], "tool_calls": [call]},
        headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
    )
    assert (added.status_code, added.json()) == (201, {"status": "added", "seq": 3})
    message = (await whole(anna))["conversation_history"][-1]
    assert message["content"] == [{"type": "text", "text": "Zoë 👩‍🚀"}]
    assert (message["tool_calls"], message["trace_id"]) == ([call], trace)


async def test_history_is_paged_from_either_end(anna: httpx.AsyncClient) -> None:
    for number in range(3, 11):
        await anna.post("/sessions/sess-1/history", json={"role": "user", "content": str(number)})

    async def page(query: str) -> tuple[list[int], object, object]:
        body = (await anna.get(f"/sessions/sess-1/history?{query}")).json()
        return [message["seq"] for message in body["messages"]], body["next_before"], body["next_after"]

    assert await page("limit=3") == ([8, 9, 10], 8, None)
    assert await page("limit=3&before=8") == ([5, 6, 7], 5, 7)
    assert await page("limit=5&before=5") == ([1, 2, 3, 4], None, 4)
    assert await page("limit=3&after=0") == ([1, 2, 3], None, 3)
    assert await page("limit=3&after=8") == ([9, 10], 9, None)
    assert await page("after=3&before=6") == ([4, 5], 4, 5)
    assert await page("after=10") == ([], None, None)


async def test_an_invocation_is_tracked(anna: httpx.AsyncClient) -> None:
    failed = {"agent_name": "finops", "query": "cost?", "success": False, "error_message": "no data"}
    tracked = await anna.post("/sessions/sess-1/invocations", json=failed)
    assert (tracked.status_code, tracked.json()) == (201, {"status": "tracked"})
    last = (await whole(anna))["agents_invoked"][-1]
    assert (last["agent_name"], last["success"], last["error_message"]) == ("finops", False, "no data")


async def test_a_repeated_turn_gets_the_first_answer_and_a_differing_one_is_refused(anna: httpx.AsyncClient) -> None:
    before = await whole(anna)
    again = await anna.post("/sessions/sess-1/turns", json=TURN)
    assert again.json() == {
        "status": "stored", "first_seq": 1, "last_seq": 2, "version": 2, "answer": {"reply": "Two."},
    }  # fmt: skip
    assert (await anna.get("/sessions/sess-1/turns/turn-1")).json() == again.json()
    other = {**TURN, "messages": []}
    assert problem(await anna.post("/sessions/sess-1/turns", json=other)) == (409, "turn_differs")
    assert problem(await anna.get("/sessions/sess-1/turns/turn-2")) == (404, "turn_not_found")
    assert await whole(anna) == before


async def test_a_turn_with_one_wrong_part_stores_nothing_of_it(anna: httpx.AsyncClient) -> None:
    before = await whole(anna)
    wrong = {**TURN, "turn_id": "turn-2", "messages": [{"role": "user"}, {"role": "nobody"}]}
    assert problem(await anna.post("/sessions/sess-1/turns", json=wrong)) == (422, "invalid")
    assert await whole(anna) == before


async def test_context_is_replaced(anna: httpx.AsyncClient) -> None:
    assert (await anna.get("/sessions/sess-1/context")).json() == TURN["context"]
    put = await anna.put("/sessions/sess-1/context", json={"last_agent_called": "finops"})
    assert put.json() == {"status": "updated"}
    context = (await anna.get("/sessions/sess-1/context")).json()
    assert context == {"last_agent_called": "finops", "last_query": None, "last_response": None}


async def test_state_is_patched(anna: httpx.AsyncClient) -> None:
    patched = await anna.patch("/sessions/sess-1/state", json={"state": {"seen": None, "a": 1, "temp:b": 2}})
    assert patched.json() == {"state": {"a": 1}, "version": 3}
    assert (await anna.get("/sessions/sess-1/state")).json() == patched.json()


async def test_status_follows_the_table(anna: httpx.AsyncClient) -> None:
    patch = await anna.patch("/sessions/sess-1/status", json={"status": "planning", "reason": "a new wish"})
    assert patch.json() == {"status": "updated"}
    before = await whole(anna)
    assert (await anna.patch("/sessions/sess-1/status", json={"status": "planning"})).status_code == 200
    assert await whole(anna) == before
    await anna.patch("/sessions/sess-1/status", json={"status": "waiting_approval"})
    refused = await anna.patch("/sessions/sess-1/status", json={"status": "completed"})
    assert problem(refused) == (409, "illegal_transition")
    assert "waiting_approval" in refused.json()["detail"]
    assert "completed" in refused.json()["detail"]


async def test_one_writer_holds_the_lease(bench: Bench, anna: httpx.AsyncClient) -> None:
    lease = await anna.post("/sessions/sess-1/lease", json={"holder": "one", "ttl_seconds": 30})
    assert lease.status_code == 201
    assert lease.json() == {"fencing_token": 1, "holder": "one", "expires_at": "2026-01-02T03:04:35Z"}
    held = await anna.post("/sessions/sess-1/lease", json={"holder": "two"})
    assert problem(held) == (409, "lease_held")
    assert (held.headers["retry-after"], held.json()["retry_after"]) == ("30", 30)
    turn = {**TURN, "turn_id": "turn-2"}
    for token in (None, 0, 2, 10**40):
        refused = await anna.post("/sessions/sess-1/turns", json={**turn, "fencing_token": token})
        assert problem(refused) == (409, "stale_writer")
    assert (await anna.post("/sessions/sess-1/turns", json={**turn, "fencing_token": 1})).status_code == 201
    assert (await anna.post("/sessions/sess-1/history", json={"role": "system", "content": "note"})).status_code == 201

    bench.clock.move(20)
    renewed = await anna.put("/sessions/sess-1/lease/renew", json={"fencing_token": 1, "ttl_seconds": 30})
    assert renewed.json()["expires_at"] == "2026-01-02T03:04:55Z"
    assert (await anna.delete("/sessions/sess-1/lease?fencing_token=1")).json() == {"status": "deleted"}
    assert problem(await anna.delete("/sessions/sess-1/lease?fencing_token=1")) == (409, "lease_lost")
    assert problem(await anna.put("/sessions/sess-1/lease/renew", json={"fencing_token": 1})) == (409, "lease_lost")


async def test_a_turn_made_from_an_older_version_is_refused(anna: httpx.AsyncClient) -> None:
    version = (await anna.get("/sessions/sess-1")).json()["session"]["version"]
    turn = {**TURN, "turn_id": "turn-2", "expected_version": version}
    stored = await anna.post("/sessions/sess-1/turns", json=turn)
    assert (stored.status_code, stored.json()["version"]) == (201, version + 1)
    before = await whole(anna)
    refused = await anna.post("/sessions/sess-1/turns", json={**turn, "turn_id": "turn-3"})
    assert problem(refused) == (409, "version_conflict")
    repeated = await anna.post("/sessions/sess-1/turns", json=turn)
    assert repeated.json() == stored.json()
    assert await whole(anna) == before


async def test_sessions_are_listed_in_pages_newest_activity_first(bench: Bench) -> None:
    async with bench.client() as anna:
        for number in range(5):
            bench.clock.move(1)
            await anna.post("/sessions", json={"session_id": f"sess-{number}"})
        bench.clock.move(1)
        await anna.post("/sessions/sess-0/history", json={"role": "user", "content": "still here"})
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await anna.get("/sessions?limit=2" + cursor)).json()
            seen += [session["session_id"] for session in page["sessions"]]
            if page["next_cursor"] is None:
                break
            cursor = "&cursor=" + page["next_cursor"]
        assert seen == ["sess-0", "sess-4", "sess-3", "sess-2", "sess-1"]


async def test_lists_are_filtered_and_never_show_anothers(bench: Bench, anna: httpx.AsyncClient) -> None:
    async with bench.client(BOB) as bob, bench.client(OPERATOR) as operator, bench.client(STRANGER) as stranger:
        await bob.post("/sessions", json={"session_id": "sess-bob"})

        async def ids(client: httpx.AsyncClient, query: str = "") -> list[str]:
            return [session["session_id"] for session in (await client.get(f"/sessions{query}")).json()["sessions"]]

        assert await ids(anna) == ["sess-1"]
        assert await ids(anna, "?user_id=anna&status=completed") == ["sess-1"]
        assert await ids(anna, "?status=idle") == []
        assert await ids(bob) == ["sess-bob"]
        assert sorted(await ids(operator)) == ["sess-1", "sess-bob"]
        assert await ids(operator, "?user_id=bob") == ["sess-bob"]
        assert await ids(stranger) == await ids(stranger, "?user_id=anna") == []
        assert problem(await anna.get("/sessions?user_id=bob")) == (403, "other_user")


async def test_a_session_is_forked_and_rewound(anna: httpx.AsyncClient) -> None:
    await anna.post("/sessions/sess-1/history", json={"role": "user", "content": "and mine?"})
    forked = await anna.post("/sessions/sess-1/fork", json={"at_seq": 2, "title": "aside", "session_id": "sess-2"})
    assert (forked.status_code, forked.json()) == (
        201, {"status": "forked", "session_id": "sess-2", "forked_from": "sess-1", "at_seq": 2},
    )  # fmt: skip
    view = (await anna.get("/sessions/sess-2")).json()
    assert [message["content"] for message in view["conversation_history"]] == ["show my tickets", "Two."]
    assert (view["session"]["title"], view["session"]["forked_from"]) == ("aside", "sess-1")

    rewound = (await anna.post("/sessions/sess-1/rewind", json={"to_seq": 1})).json()
    assert (rewound["status"], rewound["message_count"], rewound["branch"]) == ("rewound", 1, 1)
    before = (await anna.get("/sessions/sess-1/history?branch=0")).json()["messages"]
    assert [message["seq"] for message in before] == [1, 2, 3]
    branches = (await anna.get("/sessions/sess-1/branches")).json()["branches"]
    assert [(each["branch"], each["message_count"]) for each in branches] == [(1, 1), (0, 3)]

    assert problem(await anna.post("/sessions/sess-1/rewind", json={"to_seq": 9})) == (422, "no_such_message")
    assert problem(await anna.post("/sessions/sess-1/fork", json={"branch": 9})) == (404, "branch_not_found")
    assert problem(await anna.post("/sessions/sess-1/fork", json={"session_id": "sess-2"})) == (409, "session_exists")
    assert problem(await anna.get("/sessions/sess-1/history?branch=9")) == (404, "branch_not_found")


async def test_an_archived_session_is_read_only_and_off_the_list(anna: httpx.AsyncClient) -> None:
    assert (await anna.delete("/sessions/sess-1")).json() == {"status": "deleted"}
    archived = await whole(anna)
    assert archived["session"]["lifecycle"] == "archived"
    assert len(archived["conversation_history"]) == 2
    refusals = [
        await anna.post("/sessions/sess-1/history", json={"role": "user"}),
        await anna.post("/sessions/sess-1/invocations", json={"agent_name": "a", "query": "q"}),
        await anna.post("/sessions/sess-1/turns", json={"turn_id": "turn-2"}),
        await anna.put("/sessions/sess-1/context", json={}),
        await anna.patch("/sessions/sess-1/state", json={"state": {}}),
        await anna.patch("/sessions/sess-1/status", json={"status": "completed"}),
        await anna.post("/sessions/sess-1/lease", json={"holder": "one"}),
        await anna.put("/sessions/sess-1/lease/renew", json={"fencing_token": 1}),
    ]
    assert [problem(refusal) for refusal in refusals] == [(409, "session_archived")] * 8
    assert (await anna.post("/sessions/sess-1/turns", json=TURN)).status_code == 201  # a repetition writes nothing
    assert (await anna.delete("/sessions/sess-1")).status_code == 200
    assert await whole(anna) == archived
    assert (await anna.get("/sessions")).json()["sessions"] == []
    assert len((await anna.get("/sessions?lifecycle=archived")).json()["sessions"]) == 1


async def test_a_purged_session_is_gone(anna: httpx.AsyncClient) -> None:
    assert (await anna.delete("/sessions/sess-1?purge=true")).json() == {"status": "deleted"}
    assert problem(await anna.get("/sessions/sess-1")) == (404, "session_not_found")
    assert problem(await anna.delete("/sessions/sess-1?purge=true")) == (404, "session_not_found")


Call = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]

ON_A_SESSION: dict[str, Call] = {
    "read": lambda client, id: client.get(f"/sessions/{id}"),
    "archive": lambda client, id: client.delete(f"/sessions/{id}"),
    "purge": lambda client, id: client.delete(f"/sessions/{id}?purge=true"),
    "history": lambda client, id: client.get(f"/sessions/{id}/history"),
    "add": lambda client, id: client.post(f"/sessions/{id}/history", json={"role": "user"}),
    "track": lambda client, id: client.post(f"/sessions/{id}/invocations", json={"agent_name": "a", "query": "q"}),
    "turn": lambda client, id: client.post(f"/sessions/{id}/turns", json=TURN),
    "stored turn": lambda client, id: client.get(f"/sessions/{id}/turns/turn-1"),
    "context": lambda client, id: client.get(f"/sessions/{id}/context"),
    "set context": lambda client, id: client.put(f"/sessions/{id}/context", json={}),
    "state": lambda client, id: client.get(f"/sessions/{id}/state"),
    "set state": lambda client, id: client.patch(f"/sessions/{id}/state", json={"state": {"a": 1}}),
    "set status": lambda client, id: client.patch(f"/sessions/{id}/status", json={"status": "idle"}),
    "export": lambda client, id: client.get(f"/sessions/{id}/export"),
    "acquire": lambda client, id: client.post(f"/sessions/{id}/lease", json={"holder": "one"}),
    "renew": lambda client, id: client.put(f"/sessions/{id}/lease/renew", json={"fencing_token": 1}),
    "fork": lambda client, id: client.post(f"/sessions/{id}/fork", json={}),
    "rewind": lambda client, id: client.post(f"/sessions/{id}/rewind", json={"to_seq": 0}),
    "branches": lambda client, id: client.get(f"/sessions/{id}/branches"),
    "release": lambda client, id: client.delete(f"/sessions/{id}/lease?fencing_token=1"),
    "compact": lambda client, id: client.post(f"/sessions/{id}/compact", json={}),
    "summary": lambda client, id: client.get(f"/sessions/{id}/summary"),
    "window": lambda client, id: client.get(f"/sessions/{id}/window"),
    "resume": lambda client, id: client.post(f"/sessions/{id}/resume"),
}
EVERY_ROUTE: dict[str, Call] = {
    **ON_A_SESSION,
    "create": lambda client, id: client.post("/sessions", json={}),
    "list": lambda client, id: client.get("/sessions"),
    "erase": lambda client, id: client.delete("/sessions", params={"user_id": "anna"}),
}
over_every_route = pytest.mark.parametrize("call", EVERY_ROUTE.values(), ids=EVERY_ROUTE.keys())
over_every_session_route = pytest.mark.parametrize("call", ON_A_SESSION.values(), ids=ON_A_SESSION.keys())


def test_every_route_is_among_those_that_are_tried() -> None:
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC_KEY))
    paths = create_app(settings).openapi()["paths"]
    operations = sum(
        len(methods) for path, methods in paths.items() if path.startswith("/sessions") and path not in BESIDE
    )
    assert operations == len(EVERY_ROUTE) - 1  # archive and purge are one


@over_every_route
async def test_nobody_is_answered_without_identity(bench: Bench, anna: httpx.AsyncClient, call: Call) -> None:
    before = await whole(anna)
    forged = generate_keypair()[0]
    async with bench.client(None) as nobody, service_client(bench.app, ANNA, "sessions", forged) as forger:
        assert problem(await call(nobody, "sess-1")) == (401, "unauthenticated")
        assert problem(await call(forger, "sess-1")) == (401, "unauthenticated")
    async with service_client(bench.app, ANNA, "memory", PRIVATE_KEY) as for_another_service:
        assert problem(await call(for_another_service, "sess-1")) == (401, "unauthenticated")
    assert await whole(anna) == before


@over_every_session_route
async def test_anothers_session_is_not_there(bench: Bench, anna: httpx.AsyncClient, call: Call) -> None:
    before = await whole(anna)
    for principal in (BOB, STRANGER):
        async with bench.client(principal) as other:
            foreign, missing = await call(other, "sess-1"), await call(other, "sess-2")
            assert problem(foreign) == problem(missing) == (404, "session_not_found")
            assert foreign.json()["detail"].replace("sess-1", "sess-2") == missing.json()["detail"]
    assert await whole(anna) == before


@over_every_session_route
async def test_an_operator_reaches_the_sessions_of_its_tenant(
    bench: Bench, anna: httpx.AsyncClient, call: Call
) -> None:
    async with bench.client(OPERATOR) as operator:
        answer = await call(operator, "sess-1")
    assert answer.status_code in (200, 201, 409) or answer.json()["code"] == "summary_not_found"


@over_every_session_route
async def test_an_id_that_none_can_have_is_refused(anna: httpx.AsyncClient, call: Call) -> None:
    for session_id in ("sess-A", "nonsense", "sess-" + "a" * 65, "sess-%00", "sess-%ed%a0%80"):
        assert problem(await call(anna, session_id))[0] in (404, 422)


BODIES = [
    ("POST", "/sessions"),
    ("POST", "/sessions/sess-1/history"),
    ("POST", "/sessions/sess-1/invocations"),
    ("POST", "/sessions/sess-1/turns"),
    ("PUT", "/sessions/sess-1/context"),
    ("PATCH", "/sessions/sess-1/state"),
    ("PATCH", "/sessions/sess-1/status"),
    ("POST", "/sessions/sess-1/lease"),
    ("PUT", "/sessions/sess-1/lease/renew"),
]
MALFORMED = [b"{", b"\xff", b'{"a": 1, "a": 2}', b'{"state": {"a": NaN}}', b'{"state": {"a": "\\u0000"}}', b'"\\ud800"']


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_a_bad_body_is_a_problem_and_changes_nothing(anna: httpx.AsyncClient, method: str, path: str) -> None:
    before = await whole(anna)
    for body in MALFORMED:
        refused = await anna.request(method, path, content=body, headers={"content-type": "application/json"})
        assert problem(refused) == (400, "malformed_json")
    wrong_bodies: list[object] = [[], "text", 7, None, {"unknown_field": 1}]
    for wrong in wrong_bodies:
        assert problem(await anna.request(method, path, json=wrong)) == (422, "invalid")
    assert await whole(anna) == before


WRONG_FIELDS = [
    ("POST", "/sessions", {"session_id": "sess-\u0130"}),
    ("POST", "/sessions", {"user_id": "a b"}),
    ("POST", "/sessions", {"title": 7}),
    ("POST", "/sessions/sess-1/history", {"role": "nobody"}),
    ("POST", "/sessions/sess-1/history", {"role": "user", "input_tokens": 10**30}),
    ("POST", "/sessions/sess-1/history", {"role": "user", "cost": -1}),
    ("POST", "/sessions/sess-1/invocations", {"agent_name": "a", "query": "q", "duration_ms": 1e300}),
    ("POST", "/sessions/sess-1/turns", {"turn_id": "turn-" + "x" * 65}),
    ("PATCH", "/sessions/sess-1/status", {"status": "asleep"}),
    ("POST", "/sessions/sess-1/lease", {"holder": "", "ttl_seconds": 30}),
    ("POST", "/sessions/sess-1/lease", {"holder": "one", "ttl_seconds": 10**9}),
    ("GET", "/sessions/sess-1?history_limit=1001", None),
    ("GET", "/sessions/sess-1/history?limit=0", None),
    ("GET", f"/sessions/sess-1/history?before={10**30}", None),
    ("GET", "/sessions/sess-1/history?after=-1", None),
    ("GET", "/sessions/sess-1/history?after=x", None),
    ("DELETE", f"/sessions/sess-1/lease?fencing_token={10**30}", None),
    ("DELETE", "/sessions/sess-1/lease", None),
    ("DELETE", "/sessions/sess-1?purge=perhaps", None),
    ("GET", "/sessions?status=asleep", None),
    ("GET", "/sessions?limit=201", None),
    ("GET", "/sessions?user_id=%00", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRONG_FIELDS)
async def test_a_wrong_field_is_named_and_changes_nothing(
    anna: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    before = await whole(anna)
    refused = await anna.request(method, path, json=body) if body else await anna.request(method, path)
    assert problem(refused) == (422, "invalid")
    assert refused.json()["errors"]
    assert await whole(anna) == before


def _cursor(*position: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "ä",
        _cursor(),
        _cursor(1, "sess-1"),
        _cursor("2026-01-02T03:04:05+00:00", "sess-1", "more"),
        _cursor("yesterday", "sess-1"),
        _cursor("0001-01-01T00:00:00+14:00", "sess-1"),
        _cursor("2026-01-02T03:04:05+00:00", "\ud800"),
        _cursor("2026-01-02T03:04:05+00:00", "\x00"),
        _cursor("\ud800", "sess-1"),
    ],
)
async def test_a_made_up_cursor_is_refused(anna: httpx.AsyncClient, cursor: str) -> None:
    assert problem(await anna.get("/sessions", params={"cursor": cursor})) == (422, "invalid_cursor")


async def test_a_cursor_at_the_end_of_time_is_harmless(anna: httpx.AsyncClient) -> None:
    for time, found in (("9999-12-31T23:59:59.999999+00:00", 1), ("0001-01-01T00:00:00+00:00", 0)):
        page = await anna.get("/sessions", params={"cursor": _cursor(time, "sess-1")})
        assert len(page.json()["sessions"]) == found


async def test_health_names_the_store(bench: Bench) -> None:
    async with bench.client(None) as nobody:
        health = (await nobody.get("/health")).json()
    assert (health["status"], health["dependencies"]["store"]["status"]) == ("ok", "ok")
    assert health["dependencies"]["store"]["detail"].split()[0] in UNCACHED
