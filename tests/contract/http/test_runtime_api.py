"""The runtime's routes: what they answer, what they record, and whom they refuse."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from bureau_contracts.prompts import NewPromptVersion
from bureau_contracts.registry import AutonomyLevel, RegisterAgent
from bureau_contracts.runtime import ChatAnswer
from bureau_contracts.sessions import Lifecycle, NewMessage, NewSession, NewTurn, Role, SessionView
from kit.identity import ADMIN, TENANT_WIDE, Principal, acting_as
from services.runtime.app import create_app
from services.runtime.settings import Settings
from tests.http import service_client
from tests.runtime_neighbours import COMMON, PRIVATE_KEY, World, world
from tests.unit.runtime import agents_for_tests
from tests.unit.runtime.agents_for_tests import BROKEN, PARCELS, PREFIX, SHOUT, record
from tests.waiting import eventually

ADA = Principal("acme", "ada")
BOB = Principal("acme", "bob")
OPERATOR = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
STRANGER = Principal("globex", "ada", scopes=frozenset({ADMIN}))
A2A = RegisterAgent(name="far", a2a="http://127.0.0.1:1/a2a")
OFF = record("off", "parcels", enabled=False)
CAREFUL = record("careful", "parcels", autonomy_ceiling=AutonomyLevel.L1)
KEYLESS = record("keyless", "parcels", model="openai:gpt-4o-mini")


@dataclass
class Bench:
    app: FastAPI
    world: World

    def client(self, principal: Principal | None = ADA) -> httpx.AsyncClient:
        return service_client(self.app, principal, "runtime", PRIVATE_KEY)

    async def view(self, session_id: str, principal: Principal = ADA) -> SessionView:
        with acting_as(principal):
            return await self.world.conversations.get(session_id, history_limit=100)

    async def session_count(self, principal: Principal = OPERATOR) -> int:
        with acting_as(principal):
            return len((await self.world.conversations.page(limit=200)).sessions)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    agents_for_tests.calls.clear()
    settings = Settings(
        common=COMMON, factory_prefixes=PREFIX, busy_wait_seconds=0.05, openai_base_url="http://127.0.0.1:1/v1"
    )
    async with world() as around:
        app = create_app(settings, around.neighbours)
        async with app.router.lifespan_context(app):
            await around.register(PARCELS, SHOUT, BROKEN, A2A, OFF, CAREFUL, KEYLESS)
            yield Bench(app, around)


@pytest.fixture
async def ada(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.client() as client:
        yield client


async def chat(client: httpx.AsyncClient, message: str, **more: Any) -> ChatAnswer:
    response = await client.post("/agent/chat", json={"message": message, **more})
    assert response.status_code == 200, response.text
    answer = ChatAnswer.model_validate_json(response.content)
    assert answer.trace_id == response.headers["x-trace-id"] or more.get("turn_id")
    return answer


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and code; every refusal has the one shape."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["trace_id"] == response.headers["x-trace-id"]
    return response.status_code, body["code"]


async def test_a_message_opens_a_session_is_routed_answered_and_recorded(bench: Bench, ada: httpx.AsyncClient) -> None:
    answer = await chat(ada, "show my parcels")
    assert (answer.status, answer.agents, answer.model, answer.cost) == ("completed", ["parcels"], "offline", 0.0)
    assert answer.reply.startswith("2 parcels:\n1. P-7 · Books")
    assert answer.routing is not None
    assert answer.routing.reason == "match"
    assert [(each.name, each.status) for each in answer.tools] == [("list_parcels", "completed")]
    assert (answer.usage.model_calls, answer.usage.tool_calls, answer.usage.estimated) == (2, 1, True)

    view = await bench.view(answer.session_id)
    assert (view.session.user_id, view.session.status, view.session.title) == ("ada", "completed", "show my parcels")
    messages = view.conversation_history
    assert [(each.seq, each.role.value) for each in messages] == [
        (1, "user"),
        (2, "assistant"),
        (3, "tool"),
        (4, "assistant"),
    ]
    assert messages[1].tool_calls[0].name == "list_parcels"
    assert messages[2].tool_results[0].call_id == messages[1].tool_calls[0].call_id
    assert messages[3].content == answer.reply
    assert {each.trace_id for each in messages} == {answer.trace_id}, "one trace links the turn to its messages"
    invocation = view.agents_invoked[0]
    assert (invocation.agent_name, invocation.query, invocation.success) == ("parcels", "show my parcels", True)
    assert (view.context.last_agent_called, view.context.last_query) == ("parcels", "show my parcels")
    await bench.world.metrics.asked.until("turn_seconds", 1)


async def test_a_follow_up_goes_to_the_agent_that_answered_before_and_sees_what_it_showed(
    ada: httpx.AsyncClient,
) -> None:
    first = await chat(ada, "show my parcels")
    second = await chat(ada, "the second one", session_id=first.session_id)
    assert second.routing is not None
    assert (second.agents, second.routing.reason) == (["parcels"], "continuity")
    assert second.tools[0].arguments == {"parcel_id": "P-8"}


async def test_a_named_agent_answers_without_routing(ada: httpx.AsyncClient) -> None:
    answer = await chat(ada, "show my parcels", agent="shout")
    assert (answer.reply, answer.agents) == ("ADA: SHOW MY PARCELS", ["shout"])
    assert answer.routing is not None
    assert answer.routing.reason == "requested"


async def test_what_fits_nobody_is_asked_back_and_recorded(bench: Bench, ada: httpx.AsyncClient) -> None:
    answer = await chat(ada, "quantum chromodynamics")
    assert (answer.status, answer.agents, answer.tools) == ("needs_clarification", [], [])
    assert "other words" in answer.reply
    view = await bench.view(answer.session_id)
    assert [each.content for each in view.conversation_history] == ["quantum chromodynamics", answer.reply]
    assert (view.session.status, view.agents_invoked, view.context.last_agent_called) == ("idle", [], None)
    assert (await chat(ada, "show my parcels", session_id=answer.session_id)).agents == ["parcels"]


@pytest.mark.parametrize(
    ("level", "message", "status"),
    [
        ("L0", "show my parcels", "refused"),
        ("L1", "show my parcels", "completed"),
        ("L1", "send parcel P-7 back", "refused"),
        ("L2", "send parcel P-7 back", "completed"),
        ("L2", "destroy parcel P-7", "refused"),
        ("L3", "destroy parcel P-7", "completed"),
    ],
)
async def test_autonomy_is_enforced_and_a_refused_call_is_shown(
    ada: httpx.AsyncClient, level: str, message: str, status: str
) -> None:
    answer = await chat(ada, message, agent="parcels", autonomy_level=level)
    assert [each.status for each in answer.tools] == [status]
    assert bool(agents_for_tests.calls) == (status == "completed"), "what is refused does not run"
    if status == "refused":
        assert f"not allowed at autonomy level {level}" in answer.reply


async def test_the_agents_ceiling_holds_whatever_is_asked_for(ada: httpx.AsyncClient) -> None:
    answer = await chat(ada, "send parcel P-7 back", agent="careful", autonomy_level="L3")
    assert answer.tools[0].status == "refused"
    assert "autonomy level L1" in (answer.tools[0].error or "")


async def test_the_sessions_level_counts_where_the_message_names_none(bench: Bench, ada: httpx.AsyncClient) -> None:
    with acting_as(ADA):
        await bench.world.conversations.create(NewSession(session_id="sess-l1", autonomy_level=AutonomyLevel.L1))
    refused = await chat(ada, "send parcel P-7 back", session_id="sess-l1", agent="parcels")
    assert refused.tools[0].status == "refused"
    first = await chat(ada, "show my parcels", autonomy_level="L1")
    assert (await bench.view(first.session_id)).session.autonomy_level == "L1"


async def test_memories_are_the_speakers_and_named_in_the_answer(bench: Bench, ada: httpx.AsyncClient) -> None:
    bench.world.recollections.texts = {
        ("acme", "ada"): ["parcels go to the office"],
        ("acme", "bob"): ["secret of bob"],
    }
    answer = await chat(ada, "show my parcels")
    assert answer.memories == ["mem-0"]
    assert "You told me: parcels go to the office" in answer.reply
    async with bench.client(OPERATOR) as olga:
        other = await chat(olga, "show my parcels", session_id=answer.session_id)
    assert "secret of bob" not in other.reply
    assert bench.world.recollections.asked_for == ["ada", "ada"], "a tenant-wide caller recalls as the session's user"


async def test_a_turn_goes_on_without_memories(bench: Bench, ada: httpx.AsyncClient) -> None:
    bench.world.recollections.away = True
    answer = await chat(ada, "show my parcels")
    assert (answer.status, answer.memories) == ("completed", [])


async def test_a_failed_tool_is_shown_and_recorded(bench: Bench, ada: httpx.AsyncClient) -> None:
    answer = await chat(ada, "where is parcel P-0", agent="parcels")
    assert (answer.status, answer.tools[0].error) == ("completed_with_errors", "you have no parcel P-0")
    assert (await bench.view(answer.session_id)).session.status == "completed_with_errors"


@pytest.mark.parametrize(
    ("agent", "message", "reason"),
    [
        ("broken", "hello", "no database for this agent"),
        ("shout", "break", "the plain agent broke"),
        ("far", "hello", "its endpoint cannot be reached"),
        ("keyless", "show my parcels", "the model's endpoint cannot be reached"),
    ],
)
async def test_an_agent_that_fails_loses_nothing_and_harms_no_other(
    bench: Bench, ada: httpx.AsyncClient, agent: str, message: str, reason: str
) -> None:
    answer = await chat(ada, message, agent=agent)
    assert (answer.status, answer.agents) == ("error", [agent])
    assert reason in answer.reply
    view = await bench.view(answer.session_id)
    assert [each.content for each in view.conversation_history] == [message, answer.reply]
    assert view.session.status == "error"
    assert (view.agents_invoked[0].success, bool(view.agents_invoked[0].error_message)) == (False, True)
    assert (await chat(ada, "show my parcels", session_id=answer.session_id, agent="parcels")).status == "completed"


async def test_the_same_turn_sent_again_runs_once_and_gets_the_first_answer(
    bench: Bench, ada: httpx.AsyncClient
) -> None:
    session_id = (await chat(ada, "show my parcels")).session_id
    first = await chat(ada, "send parcel P-7 back", session_id=session_id, turn_id="turn-a", agent="parcels")
    again = await chat(ada, "send parcel P-7 back", session_id=session_id, turn_id="turn-a", agent="parcels")
    assert again == first
    assert [name for name, _, _ in agents_for_tests.calls].count("return_parcel") == 1
    assert (await bench.view(session_id)).session.message_count == 8


async def test_a_turn_id_that_somebody_else_recorded_is_a_conflict(bench: Bench, ada: httpx.AsyncClient) -> None:
    with acting_as(ADA):
        await bench.world.conversations.create(NewSession(session_id="sess-1"))
        await bench.world.conversations.turn("sess-1", NewTurn(turn_id="turn-a"))
    response = await ada.post("/agent/chat", json={"message": "x", "session_id": "sess-1", "turn_id": "turn-a"})
    assert problem(response) == (409, "turn_differs")


async def test_a_session_that_is_busy_for_too_long_is_a_conflict(bench: Bench, ada: httpx.AsyncClient) -> None:
    session_id = (await chat(ada, "show my parcels")).session_id
    with acting_as(ADA):
        await bench.world.conversations.acquire_lease(session_id, "somebody else")
    response = await ada.post("/agent/chat", json={"message": "show details", "session_id": session_id})
    assert problem(response) == (409, "session_busy")
    assert int(response.headers["retry-after"]) >= 1


async def test_a_tool_acts_for_the_one_who_speaks(bench: Bench) -> None:
    async with bench.client(OPERATOR) as olga:
        opened = await chat(olga, "show my parcels", user_id="ada")
        await chat(olga, "show my parcels", session_id=opened.session_id)
    assert (await bench.view(opened.session_id)).session.user_id == "ada"
    assert [user for _, user, _ in agents_for_tests.calls] == ["ada", "ada"]


async def test_route_says_who_would_answer_and_nothing_runs(bench: Bench, ada: httpx.AsyncClient) -> None:
    answer = (await ada.post("/agent/route", json={"query": "show my parcels"})).json()
    assert (answer["chosen"], answer["reason"]) == (["parcels"], "match")
    assert answer["candidates"][0]["name"] == "parcels"
    assert "off" not in [each["name"] for each in answer["candidates"]]
    session_id = (await chat(ada, "show my parcels")).session_id
    before = await bench.view(session_id)
    followed = (await ada.post("/agent/route", json={"query": "show details", "session_id": session_id})).json()
    assert (followed["chosen"], followed["reason"]) == (["parcels"], "continuity")
    unclear = (await ada.post("/agent/route", json={"query": "the second one"})).json()
    assert (unclear["chosen"], unclear["reason"]) == ([], "unclear")
    assert await bench.view(session_id) == before


async def test_a_session_is_shown_and_archived(bench: Bench, ada: httpx.AsyncClient) -> None:
    session_id = (await chat(ada, "show my parcels")).session_id
    shown = (await ada.get(f"/agent/session/{session_id}")).json()
    assert shown["session"]["session_id"] == session_id
    assert [each["role"] for each in shown["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert (await ada.delete(f"/agent/session/{session_id}")).json() == {"status": "deleted"}
    refused = await ada.post("/agent/chat", json={"message": "show details", "session_id": session_id})
    assert problem(refused) == (409, "session_archived")
    assert (await bench.view(session_id)).session.message_count == 4


async def test_who_comes_back_after_the_session_expired_goes_on_in_it(bench: Bench, ada: httpx.AsyncClient) -> None:
    session_id = (await chat(ada, "show my parcels")).session_id
    bench.world.sessions_time.by = timedelta(days=400)
    assert (await bench.view(session_id)).session.lifecycle is Lifecycle.EXPIRED
    assert (await chat(ada, "show my parcels", session_id=session_id)).status == "completed"
    session = (await bench.view(session_id)).session
    assert (session.lifecycle, session.message_count) == (Lifecycle.ACTIVE, 8)


async def test_tools_are_listed_with_risk_and_schema(ada: httpx.AsyncClient) -> None:
    tools = (await ada.get("/agent/tools", params={"agent": "parcels"})).json()["tools"]
    assert [(each["name"], each["risk"]) for each in tools] == [
        ("list_parcels", "read"),
        ("parcel_details", "read"),
        ("return_parcel", "write"),
        ("destroy_parcel", "critical"),
    ]
    assert tools[1]["parameters"]["required"] == ["parcel_id"]
    everything = (await ada.get("/agent/tools")).json()["tools"]
    assert {each["agent"] for each in everything} == {"parcels", "careful", "keyless"}, "a broken agent is left out"
    assert (await ada.get("/agent/tools", params={"agent": "shout"})).json() == {"tools": []}
    assert problem(await ada.get("/agent/tools", params={"agent": "nobody"})) == (404, "agent_not_found")
    assert problem(await ada.get("/agent/tools", params={"agent": "broken"})) == (409, "agent_unavailable")
    assert (await ada.get("/agent/tools", params={"agent": "far"})).json() == {"tools": []}


ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/agent/chat", {"message": "show details", "session_id": "{session}"}),
    ("POST", "/agent/route", {"query": "show details", "session_id": "{session}"}),
    ("GET", "/agent/session/{session}", None),
    ("DELETE", "/agent/session/{session}", None),
]


def filled(body: Any, session_id: str) -> Any:
    return body and {name: value.replace("{session}", session_id) for name, value in body.items()}


@pytest.mark.parametrize(("method", "path", "body"), [*ROUTES, ("GET", "/agent/tools", None)])
async def test_without_identity_there_is_no_answer(bench: Bench, method: str, path: str, body: Any) -> None:
    async with bench.client(None) as nobody:
        assert problem(await nobody.request(method, path, json=body)) == (401, "unauthenticated")


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
@pytest.mark.parametrize("who", [BOB, STRANGER], ids=["another user", "another tenant"])
async def test_another_ones_session_is_not_there_and_stays_as_it_is(
    bench: Bench, ada: httpx.AsyncClient, who: Principal, method: str, path: str, body: Any
) -> None:
    session_id = (await chat(ada, "show my parcels")).session_id
    before = await bench.view(session_id)
    async with bench.client(who) as other:
        response = await other.request(method, path.replace("{session}", session_id), json=filled(body, session_id))
    assert problem(response) == (404, "session_not_found")
    assert await bench.view(session_id) == before
    assert len(agents_for_tests.calls) == 1


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_an_unknown_session_is_404(ada: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    response = await ada.request(method, path.replace("{session}", "sess-unknown"), json=filled(body, "sess-unknown"))
    assert problem(response) == (404, "session_not_found")


async def test_only_a_tenant_wide_scope_may_speak_for_another(bench: Bench, ada: httpx.AsyncClient) -> None:
    response = await ada.post("/agent/chat", json={"message": "show my parcels", "user_id": "bob"})
    assert problem(response) == (403, "other_user")
    assert await bench.session_count() == 0


async def test_another_tenants_agent_is_neither_found_nor_reached(bench: Bench, ada: httpx.AsyncClient) -> None:
    await bench.world.register(record("theirs", "parcels", owner="globex"), tenant="globex")
    assert problem(await ada.post("/agent/chat", json={"message": "x", "agent": "theirs"})) == (404, "agent_not_found")
    assert problem(await ada.get("/agent/tools", params={"agent": "theirs"})) == (404, "agent_not_found")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"message": "hello", "agent": "nobody"}, (404, "agent_not_found")),
        ({"message": "hello", "agent": "off"}, (409, "agent_disabled")),
        ({}, (422, "invalid")),
        ({"message": ""}, (422, "invalid")),
        ({"message": 5}, (422, "invalid")),
        ({"message": ["a"]}, (422, "invalid")),
        ({"message": "a" * 1_000_001}, (422, "invalid")),
        ({"message": "hello", "autonomy_level": "L9"}, (422, "invalid")),
        ({"message": "hello", "agent": "Not A Name"}, (422, "invalid")),
        ({"message": "hello", "session_id": "../sessions"}, (422, "invalid")),
        ({"message": "hello", "turn_id": "turn-ÄÖ"}, (422, "invalid")),
        ({"message": "hello", "user_id": "a b"}, (422, "invalid")),
        ({"message": "hello", "mesage": "typo"}, (422, "invalid")),
        ([], (422, "invalid")),
    ],
)
async def test_a_message_that_cannot_be_answered_is_refused_and_changes_nothing(
    bench: Bench, ada: httpx.AsyncClient, body: Any, refusal: tuple[int, str]
) -> None:
    assert problem(await ada.post("/agent/chat", json=body)) == refusal
    assert await bench.session_count() == 0
    assert agents_for_tests.calls == []


@pytest.mark.parametrize("path", ["/agent/chat", "/agent/route"])
@pytest.mark.parametrize(
    "content",
    [b"{", b"\xff", b'{"message": "a", "message": "b"}', b'{"message": "\\u0000"}', b'{"message": "\\ud800"}'],
)
async def test_malformed_json_is_400(ada: httpx.AsyncClient, path: str, content: bytes) -> None:
    response = await ada.post(path, content=content, headers={"content-type": "application/json"})
    assert problem(response) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/agent/session/not-a-session"),
        ("GET", "/agent/session/sess-%00"),
        ("DELETE", "/agent/session/sess-A"),
        ("GET", "/agent/tools?agent=%00"),
        ("GET", "/agent/tools?agent=" + "a" * 65),
    ],
)
async def test_a_parameter_of_the_wrong_shape_is_422(ada: httpx.AsyncClient, method: str, path: str) -> None:
    assert problem(await ada.request(method, path)) == (422, "invalid")


@pytest.mark.parametrize("limit", [0, 21, "many", 10**30])
async def test_a_limit_out_of_bounds_is_422(ada: httpx.AsyncClient, limit: Any) -> None:
    assert problem(await ada.post("/agent/route", json={"query": "x", "limit": limit})) == (422, "invalid")


async def test_without_sessions_nothing_runs(bench: Bench, ada: httpx.AsyncClient) -> None:
    session_id = (await chat(ada, "show my parcels")).session_id
    agents_for_tests.calls.clear()
    bench.world.to_sessions.cut = True
    for more in ({}, {"session_id": session_id}):
        response = await ada.post("/agent/chat", json={"message": "show my parcels", **more})
        assert problem(response) == (503, "unavailable")
        assert "retry-after" in response.headers
    assert agents_for_tests.calls == []
    bench.world.to_sessions.cut = False
    assert (await chat(ada, "show my parcels", session_id=session_id)).status == "completed"


async def test_without_the_registry_nothing_runs_and_no_session_is_opened(bench: Bench, ada: httpx.AsyncClient) -> None:
    bench.world.to_registry.cut = True
    for body in ({"message": "show my parcels"}, {"message": "show my parcels", "agent": "parcels"}):
        assert problem(await ada.post("/agent/chat", json=body)) == (503, "unavailable")
    assert await bench.session_count() == 0


async def test_a_huge_message_is_answered_and_kept_whole(bench: Bench, ada: httpx.AsyncClient) -> None:
    message = "show my parcels " * 50_000
    answer = await chat(ada, message, agent="parcels")
    assert (await bench.view(answer.session_id)).conversation_history[0].content == message


@pytest.mark.parametrize(
    "message", ["📦 " * 50, "我的包裹在哪里", "'; DROP TABLE message; --", "\u202eslecrap ym wohs", " \n\t"]
)
async def test_any_text_is_answered(ada: httpx.AsyncClient, message: str) -> None:
    answer = await chat(ada, message)
    assert answer.reply


async def test_health_needs_no_identity_and_says_what_this_can_do(bench: Bench) -> None:
    async with bench.client(None) as nobody:
        health = (await nobody.get("/health")).json()
    assert (health["service"], health["status"]) == ("runtime", "ok")
    assert health["capabilities"]["model"] == "offline"


async def test_whether_an_agent_could_be_built_is_told_to_the_registry(bench: Bench, ada: httpx.AsyncClient) -> None:
    await chat(ada, "hello", agent="broken")
    await chat(ada, "show my parcels", agent="parcels")

    async def known(name: str) -> tuple[str, str]:
        with acting_as(ADA):
            health = (await bench.world.catalogue.get(name)).health
        return (health.availability.value, health.reason) if health else ("", "")

    async def told() -> bool:
        return [(await known(each))[0] for each in ("broken", "parcels")] == ["unavailable", "available"]

    await eventually(told)
    assert "no database for this agent" in (await known("broken"))[1]


async def test_an_agents_prompt_is_read_again_only_when_it_changed(bench: Bench, ada: httpx.AsyncClient) -> None:
    prompts, reads = bench.world.catalogue.prompts, bench.world.to_registry.requests.all
    with acting_as(Principal("acme", "root", scopes=frozenset({ADMIN}))):
        await prompts.add("manners", NewPromptVersion(text="Be kind to {{ user }}.", variables=["user"]))
    await bench.world.register(record("kind", "parcels", prompt="manners"))

    async def costs() -> int:
        before = reads.count("GET /registry/prompts/manners")
        await chat(ada, "show my parcels", agent="kind")
        return reads.count("GET /registry/prompts/manners") - before

    async def nothing() -> bool:
        return await costs() == 0

    await eventually(nothing)
    with acting_as(Principal("acme", "root", scopes=frozenset({ADMIN}))):
        await prompts.delete("manners")

    async def is_missed() -> bool:
        response = await ada.post("/agent/chat", json={"message": "show my parcels", "agent": "kind"})
        return "'manners' does not exist" in response.text

    await eventually(is_missed)


async def test_a_long_conversation_goes_on_with_a_summary(bench: Bench, ada: httpx.AsyncClient) -> None:
    first = await chat(ada, "show my parcels")
    with acting_as(ADA):
        for number in range(60):
            note = NewMessage(role=Role.USER, content=f"Note {number}: shelf {number} holds {'paper ' * 60}")
            await bench.world.conversations.add_message(first.session_id, note)
    assert (await chat(ada, "show my parcels", session_id=first.session_id)).status == "completed"
    with acting_as(ADA):
        summary = await bench.world.conversations.summary(first.session_id)
        view = await bench.view(first.session_id)
    assert 1 < summary.covers.last_seq < 64
    assert "list_parcels" in summary.text, "what a tool found is kept"
    assert len(view.conversation_history) == 4 + 60 + 4, "and every message stays"
