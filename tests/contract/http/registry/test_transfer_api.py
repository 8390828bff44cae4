"""Export and import over HTTP: nothing is lost, nothing is done by halves, nothing of others is touched."""

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.registry.store_memory import MemoryStore
from tests.contract.http.registry.conftest import OpenRegistry
from tests.contract.http.registry.world import ACME, GLOBEX, READER, As, agent, assert_problem

TOOL = {"source": "http", "url": "http://jira/close", "parameters": {"type": "object"}, "risks": {"close": "critical"}}
PROMPT: dict[str, Any] = {
    "labels": {"production": 1},
    "versions": [{"version": 1, "text": "Hello"}, {"version": 4, "text": "{{ user }}!", "variables": ["user"]}],
}
DOCUMENT: dict[str, Any] = {
    "version": "1.1.0",
    "agents": {"tickets": {"http": "http://tickets/turn", "prompt": "greeting@production"}},
    "tools": {"jira": TOOL | {"tenant_risks": {"acme": {"close": "read"}}}},
    "prompts": {"greeting": PROMPT},
}


async def load(client: httpx.AsyncClient, document: Any, **params: Any) -> dict[str, Any]:
    response = await client.post("/registry/import", json=document, params=params)
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


async def exported(client: httpx.AsyncClient) -> dict[str, Any]:
    response = await client.get("/registry/export")
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def changes(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((each["kind"], each["name"], each["change"]) for each in report["changes"])


async def test_a_whole_document_is_imported_in_one_commit(client: httpx.AsyncClient, store: MemoryStore) -> None:
    report = await load(client, DOCUMENT)
    assert (report["status"], report["unchanged"]) == ("imported", 0)
    assert changes(report) == [
        ("agent", "tickets", "registered"), ("prompt", "greeting", "registered"), ("tool", "jira", "registered"),
    ]  # fmt: skip
    assert (await client.get("/registry/agents/tickets")).json()["prompt"] == "greeting@production"
    assert store.document.tools["jira"].tenant_risks == {"acme": {"close": "read"}}
    assert (await client.get("/registry/prompts/greeting")).json()["labels"] == {"latest": 4, "production": 1}
    feed = (await client.get("/registry/changes?wait_seconds=0")).json()["changes"]
    assert {each["change"] for each in feed} == {"imported"}


async def test_the_same_again_changes_nothing(client: httpx.AsyncClient, store: MemoryStore) -> None:
    await load(client, DOCUMENT)
    before = store.document
    for mode in ("merge", "replace"):
        report = await load(client, DOCUMENT, mode=mode)
        assert (report["changes"], report["unchanged"]) == ([], 3)
    assert store.document is before


@pytest.mark.parametrize("mode", ["merge", "replace"])
async def test_a_dry_run_reports_the_same_and_changes_nothing(
    client: httpx.AsyncClient, store: MemoryStore, mode: str
) -> None:
    await client.post("/registry/agents", json=agent(description="Old."))
    await client.post("/registry/agents", json=agent(name="other"))
    before = store.document
    dry = await load(client, DOCUMENT, mode=mode, dry_run=True)
    assert dry["status"] == "dry_run"
    assert store.document is before
    real = await load(client, DOCUMENT, mode=mode)
    assert real == dry | {"status": "imported"}
    (updated,) = (each for each in real["changes"] if each["change"] == "updated")
    assert updated["fields"] == ["description", "prompt"]
    assert (("agent", "other", "deleted") in changes(real)) == (mode == "replace")


async def test_replace_leaves_alone_what_belongs_to_another_tenant(client_of: As) -> None:
    acme, globex = client_of(ACME), client_of(GLOBEX)
    await globex.post("/registry/agents", json=agent(name="theirs", owner="globex"))
    await acme.post("/registry/agents", json=agent(name="ours", owner="acme"))
    report = await load(acme, {"version": "1.1.0"}, mode="replace")
    assert changes(report) == [("agent", "ours", "deleted")]
    assert (await globex.get("/registry/agents/theirs")).status_code == 200


async def test_an_export_shows_only_what_the_caller_sees(client_of: As, store: MemoryStore) -> None:
    acme, globex = client_of(ACME), client_of(GLOBEX)
    await load(acme, DOCUMENT)
    await acme.post("/registry/agents", json=agent(name="ours", owner="acme"))
    document = await exported(globex)
    assert list(document["agents"]) == ["tickets"]
    assert "tenant_risks" not in document["tools"]["jira"]
    await load(globex, document | {"tools": {"jira": TOOL | {"description": "Jira."}}}, mode="replace")
    assert store.document.tools["jira"].tenant_risks == {"acme": {"close": "read"}}, "not theirs to change"
    assert_problem(await client_of(None).get("/registry/export"), 401, "unauthenticated")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"agents": {"tickets": {"a2a": "ftp://x"}}}, "agents.tickets.a2a"),
    ({"agents": {"tickets": {"http": "http://x/y", "typo": 1}}}, "agents.tickets.typo"),
    ({"agents": {"tickets": {"name": "tickets", "http": "http://x/y"}}}, "agents.tickets.name"),
    ({"agents": {"tickets": {"http": "http://x/y", "prompt": "nobody"}}}, "agents.tickets.prompt"),
    ({"tools": {"Not A Name": TOOL}}, "tools.Not A Name.name"),
    ({"tools": {"jira": TOOL | {"source": "mcp_http"}}}, "tools.jira"),
    ({"tools": {"jira": TOOL | {"tenant_risks": {"globex": {}}}}}, "tools.jira.tenant_risks"),
    ({"prompts": {"p": {"versions": []}}}, "prompts.p.versions"),
    ({"prompts": {"p": {"versions": [{"version": 1, "text": "{{ a }}"}]}}}, "prompts.p.versions.0.variables.a"),
    ({"prompts": {"p": PROMPT | {"labels": {"latest": 4}}}}, "prompts.p.labels.latest"),
    ({"prompts": {"p": PROMPT | {"labels": {"x": 2}}}}, "prompts.p.labels.x"),
    ({"prompts": {"p": PROMPT | {"versions": PROMPT["versions"][::-1]}}}, "prompts.p.versions"),
    ({"version": "2.0.0"}, "version"),
]


@pytest.mark.parametrize(("wrong", "location"), WRONG, ids=[location for _, location in WRONG])
async def test_what_is_wrong_is_named_and_nothing_is_imported(
    client: httpx.AsyncClient, store: MemoryStore, wrong: dict[str, Any], location: str
) -> None:
    document: dict[str, Any] = {"version": "1.1.0", "agents": {"fine": {"http": "http://x/y"}}} | wrong
    document["agents"] = {"fine": {"http": "http://x/y"}} | document["agents"]
    response = await client.post("/registry/import", json=document)
    assert response.status_code == 422, response.text
    assert location in [each["location"] for each in response.json()["errors"]]
    assert store.document.seq == 0


async def test_a_name_of_another_tenant_is_a_conflict_and_its_owner_forbidden(
    client_of: As, store: MemoryStore
) -> None:
    await client_of(GLOBEX).post("/registry/agents", json=agent(owner="globex"))
    before = store.document
    document = {"version": "1.1.0", "agents": {"a": {"http": "http://x/y"}, "tickets": {"http": "http://x/y"}}}
    for params in ({}, {"dry_run": "true"}, {"mode": "replace"}):
        response = await client_of(ACME).post("/registry/import", json=document, params=params)
        assert_problem(response, 409, "agent_exists")
    document["agents"] = {"a": {"http": "http://x/y", "owner": "globex"}}
    assert_problem(await client_of(ACME).post("/registry/import", json=document), 403, "other_tenant")
    assert store.document is before


async def test_a_version_of_a_prompt_never_becomes_another_text(client: httpx.AsyncClient, store: MemoryStore) -> None:
    await load(client, DOCUMENT)
    before = store.document
    other = {"version": "1.1.0", "prompts": {"greeting": {"versions": [{"version": 1, "text": "Goodbye"}]}}}
    assert_problem(await client.post("/registry/import", json=other), 409, "prompt_version_differs")
    assert store.document is before
    more = {"version": "1.1.0", "prompts": {"greeting": {"versions": [{"version": 5, "text": "Goodbye"}]}}}
    assert changes(await load(client, more)) == [("prompt", "greeting", "updated")]
    prompt = (await client.get("/registry/prompts/greeting")).json()
    assert [each["version"] for each in prompt["versions"]] == [1, 4, 5]
    assert prompt["labels"] == {"latest": 5, "production": 1}


async def test_who_may_only_read_exports_and_imports_nothing(client_of: As) -> None:
    await load(client_of(ACME), DOCUMENT)
    assert "tickets" in (await exported(client_of(READER)))["agents"]
    assert_problem(await client_of(READER).post("/registry/import", json=DOCUMENT), 403, "scope_missing")
    dry = await client_of(READER).post("/registry/import", json=DOCUMENT, params={"dry_run": True})
    assert_problem(dry, 403, "scope_missing")


@pytest.mark.parametrize("body", [{}, [], {"version": 1}, {"version": "1.1.0", "agents": {"BAD NAME": {}}}, {"x": 1}])
async def test_what_is_no_document_is_refused(client: httpx.AsyncClient, body: Any) -> None:
    assert_problem(await client.post("/registry/import", json=body), 422, "invalid")


async def test_a_disk_that_fails_imports_nothing(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.broken = True
    assert_problem(await client.post("/registry/import", json=DOCUMENT), 503, "registry_not_writable")
    assert store.document.seq == 0


NAMES = st.from_regex(r"\A[a-z0-9_-]{1,12}\Z")
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
LABELS = TEXTS.filter(bool)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
RISKS = st.dictionaries(LABELS, st.sampled_from(["read", "write", "critical"]), max_size=3)
OWNERS = st.sampled_from([None, "acme"])
AGENTS = st.fixed_dictionaries(
    {"factory_module": st.just("a.b"), "factory_function": st.just("make"), "owner": OWNERS},
    optional={
        "description": TEXTS,
        "factory_params": st.dictionaries(TEXTS, VALUES, max_size=3),
        "tags": st.lists(LABELS, max_size=3),
        "tools": st.none() | st.lists(LABELS, max_size=3),
        "model": st.none() | LABELS,
        "enabled": st.booleans(),
        "capabilities": st.fixed_dictionaries({"example_queries": st.lists(LABELS, max_size=3)}),
    },
)
TOOLS = st.fixed_dictionaries(
    {"source": st.just("mcp_http"), "url": st.just("http://x/mcp"), "owner": OWNERS},
    optional={
        "risks": RISKS,
        "tenant_risks": st.fixed_dictionaries({"acme": RISKS.filter(bool)}),
        "description": TEXTS,
    },
)
PROMPTS = st.lists(st.tuples(st.integers(1, 9), TEXTS), min_size=1, max_size=3, unique_by=lambda each: each[0]).map(
    lambda versions: {
        "versions": [
            {"version": version, "text": f"{text.replace('{', '')}.", "description": text}
            for version, text in sorted(versions)
        ],
        "labels": {"production": versions[0][0]},
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    agents=st.dictionaries(NAMES, AGENTS, max_size=4),
    tools=st.dictionaries(NAMES, TOOLS, max_size=3),
    prompts=st.dictionaries(NAMES, PROMPTS, max_size=3),
)
async def test_what_is_exported_and_imported_elsewhere_is_exported_the_same(
    open_registry: OpenRegistry, agents: Any, tools: Any, prompts: Any
) -> None:
    async with open_registry() as here, open_registry() as there:
        await load(here(ACME), {"version": "1.1.0", "agents": agents, "tools": tools, "prompts": prompts})
        document = await exported(here(ACME))
        for kind, given_things in (("agents", agents), ("tools", tools), ("prompts", prompts)):
            assert document[kind].keys() == given_things.keys()
            for name, fields in given_things.items():
                for field, value in fields.items():
                    if field not in ("capabilities", "versions"):
                        assert document[kind][name][field] == value
        await load(there(ACME), document, mode="replace")
        assert await exported(there(ACME)) == document
        assert (await load(here(ACME), document, mode="replace"))["changes"] == []
