"""The registry's routes: what each answers, to whom, and how it refuses."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.identity import ADMIN, Principal, generate_keypair
from kit.settings import CommonSettings
from services.registry.app import create_app
from services.registry.embedder import Embedded, EmbedderAway
from services.registry.settings import Settings
from services.registry.store import RegistryStore
from services.registry.store_memory import MemoryStore
from tests.fakes import FixedClock
from tests.http import service_client
from tests.waiting import eventually

PRIVATE, PUBLIC = generate_keypair()
ACME, GLOBEX = Principal("acme", "ann", scopes=frozenset({"registry:write"})), Principal("globex", "gus")
READER = Principal("acme", "ben")
GLOBEX_ADMIN = Principal("globex", "gil", scopes=frozenset({ADMIN}))

As = Callable[[Principal | None], httpx.AsyncClient]


def tickets(**fields: Any) -> dict[str, Any]:
    return {
        "name": "tickets",
        "agent_type": "llm",
        "description": "Looks after support tickets.",
        "factory_module": "examples.agents.tickets",
        "factory_function": "create_agent",
        "capabilities": {"skills": ["tickets"], "example_queries": ["show my open tickets", "close a ticket"]},
        "tags": ["support", "it"],
    } | fields


def oxygen(**fields: Any) -> dict[str, Any]:
    courses = {"example_queries": ["which python course is there", "I want to learn"]}
    return {"name": "oxygen", "http": "http://oxygen/turn", "capabilities": courses, "tags": ["learning"]} | fields


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def client_of(store: MemoryStore) -> AsyncIterator[As]:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[RegistryStore]:
        yield store

    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings, open_store=open_store, clock=FixedClock())
    async with app.router.lifespan_context(app):
        yield lambda principal: service_client(app, principal, "registry", PRIVATE)


@pytest.fixture
def client(client_of: As) -> httpx.AsyncClient:
    return client_of(ACME)


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == code
    assert problem["trace_id"] == response.headers["x-trace-id"]


async def test_an_agent_is_registered_and_read_back(client: httpx.AsyncClient) -> None:
    response = await client.post("/registry/agents", json=tickets())
    assert response.status_code == 201
    assert response.json() == {"status": "registered", "agent_name": "tickets", "revision": 1}
    response = await client.get("/registry/agents/tickets")
    assert response.headers["etag"] == '"1"'
    record = response.json()
    assert record["registered_at"] == record["updated_at"] == "2026-01-02T03:04:05Z"
    assert record["updated_by"] == "acme/ann"
    assert record["capabilities"]["example_queries"] == ["show my open tickets", "close a ticket"]
    assert record["enabled"] is True


async def test_a_name_is_given_once(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=tickets())
    assert_problem(await client.post("/registry/agents", json=tickets(description="x")), 409, "agent_exists")
    assert (await client.get("/registry/agents/tickets")).json()["description"] == "Looks after support tickets."


async def test_agents_are_listed_by_name_in_pages_with_their_number(client: httpx.AsyncClient) -> None:
    for name in ("d", "a", "c", "e", "b"):
        await client.post("/registry/agents", json=oxygen(name=name))
    names, cursor = [], None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/registry/agents", params=params)).json()
        assert page["total"] == 5
        names.append([agent["name"] for agent in page["agents"]])
        if (cursor := page["next_cursor"]) is None:
            break
    assert names == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["oxygen", "tickets"]),
        ("enabled_only=true", ["tickets"]),
        ("tags=support", ["tickets"]),
        ("tags=support,it", ["tickets"]),
        ("tags=support,learning", []),
        ("tags=,%20support%20,", ["tickets"]),
        ("q=OXY", ["oxygen"]),
        ("q=support%20TICKETS", ["tickets"]),
        ("q=learn", ["oxygen"]),
        ("q=%00", []),
    ],
)
async def test_lists_can_be_narrowed(client: httpx.AsyncClient, query: str, names: list[str]) -> None:
    await client.post("/registry/agents", json=tickets())
    await client.post("/registry/agents", json=oxygen(enabled=False))
    page = (await client.get(f"/registry/agents?{query}")).json()
    assert [agent["name"] for agent in page["agents"]] == names
    assert page["total"] == len(names)


async def test_a_patch_changes_what_it_names_and_makes_a_revision(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=tickets(model="big"))
    patch = {"description": "New.", "model": None, "autonomy_ceiling": "L1"}
    response = await client.patch("/registry/agents/tickets", json=patch)
    assert response.status_code == 200
    assert response.headers["etag"] == '"2"'
    record = response.json()
    assert (record["description"], record["model"], record["autonomy_ceiling"]) == ("New.", None, "L1")
    assert record["tags"] == ["support", "it"]
    assert (await client.get("/registry/agents/tickets")).json() == record


async def test_an_agent_can_move_from_a_factory_to_an_address(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=tickets())
    patch = {"factory_module": None, "factory_function": None, "http": "http://tickets/turn"}
    assert (await client.patch("/registry/agents/tickets", json=patch)).json()["http"] == "http://tickets/turn"


@pytest.mark.parametrize(
    "patch",
    [
        {"description": None},
        {"tags": None},
        {"http": "http://other/turn"},
        {"factory_module": None},
        {"http": "ftp://x"},
        {"name": "other"},
        {"owner": "globex"},
        {"enabled": "perhaps"},
    ],
)
async def test_a_patch_that_makes_no_sense_is_refused_whole(client: httpx.AsyncClient, patch: dict[str, Any]) -> None:
    await client.post("/registry/agents", json=tickets())
    before = (await client.get("/registry/agents/tickets")).json()
    response = await client.patch("/registry/agents/tickets", json={"description": "New."} | patch)
    assert_problem(response, 422, "invalid")
    assert response.json()["errors"][0]["location"].startswith("body")
    assert (await client.get("/registry/agents/tickets")).json() == before


async def test_a_patch_that_changes_nothing_makes_no_revision(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=tickets())
    assert (await client.patch("/registry/agents/tickets", json={})).json()["revision"] == 1
    assert (await client.patch("/registry/agents/tickets", json={"enabled": True})).json()["revision"] == 1


async def test_capabilities_are_replaced(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=tickets())
    response = await client.put("/registry/agents/tickets/capabilities", json={"domains": ["support"]})
    assert response.json() == {"status": "updated", "revision": 2}
    capabilities = (await client.get("/registry/agents/tickets")).json()["capabilities"]
    assert (capabilities["domains"], capabilities["example_queries"]) == (["support"], [])


async def test_an_agent_is_switched_off_and_on(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=tickets())
    response = await client.patch("/registry/agents/tickets/status", json={"enabled": False})
    assert response.json() == {"status": "disabled", "revision": 2}
    assert (await client.get("/registry/agents/tickets")).json()["enabled"] is False
    response = await client.patch("/registry/agents/tickets/status", json={"enabled": True})
    assert response.json() == {"status": "enabled", "revision": 3}


async def test_a_deleted_agent_is_gone_and_its_name_is_free(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=tickets())
    assert (await client.delete("/registry/agents/tickets")).json() == {"status": "deleted", "revision": None}
    assert_problem(await client.get("/registry/agents/tickets"), 404, "agent_not_found")
    assert (await client.post("/registry/agents", json=tickets())).status_code == 201


WRITES: list[tuple[str, str, Any]] = [
    ("PATCH", "/registry/agents/tickets", {"description": "x"}),
    ("PUT", "/registry/agents/tickets/capabilities", {"domains": ["x"]}),
    ("PATCH", "/registry/agents/tickets/status", {"enabled": False}),
    ("DELETE", "/registry/agents/tickets", None),
]
EVERYTHING = [
    ("GET", "/registry/agents", None),
    ("POST", "/registry/agents", oxygen()),
    ("GET", "/registry/agents/tickets", None),
    ("GET", "/registry/search?q=tickets", None),
    ("GET", "/registry/factories", None),
    *WRITES,
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
@pytest.mark.parametrize("if_match", ['"2"', 'W/"1"', "1", "nonsense", '"' + "9" * 5000 + '"', ""])
async def test_a_change_that_expects_another_revision_is_refused(
    client: httpx.AsyncClient, method: str, path: str, body: Any, if_match: str
) -> None:
    await client.post("/registry/agents", json=tickets())
    before = (await client.get("/registry/agents/tickets")).json()
    response = await client.request(method, path, json=body, headers={"if-match": if_match})
    assert_problem(response, 412, "revision_changed")
    assert (await client.get("/registry/agents/tickets")).json() == before


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
@pytest.mark.parametrize("if_match", ['"1"', '"7", "1"', "*"])
async def test_a_change_that_expects_the_right_revision_is_made(
    client: httpx.AsyncClient, method: str, path: str, body: Any, if_match: str
) -> None:
    await client.post("/registry/agents", json=tickets())
    assert (await client.request(method, path, json=body, headers={"if-match": if_match})).status_code == 200


async def test_of_many_who_change_the_same_revision_one_succeeds(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=tickets())
    changes = (
        client.patch("/registry/agents/tickets", json={"description": str(n)}, headers={"if-match": '"1"'})
        for n in range(16)
    )
    statuses = [response.status_code for response in await asyncio.gather(*changes)]
    assert sorted(statuses) == [200] + [412] * 15
    assert (await client.get("/registry/agents/tickets")).json()["revision"] == 2


@pytest.mark.parametrize(("method", "path", "body"), EVERYTHING)
async def test_without_identity_nothing_answers(client_of: As, method: str, path: str, body: Any) -> None:
    await client_of(ACME).post("/registry/agents", json=tickets())
    assert_problem(await client_of(None).request(method, path, json=body), 401, "unauthenticated")
    assert (await client_of(ACME).get("/registry/agents")).json()["total"] == 1


@pytest.mark.parametrize(("method", "path", "body"), [("POST", "/registry/agents", oxygen()), *WRITES])
async def test_who_may_only_read_changes_nothing(client_of: As, method: str, path: str, body: Any) -> None:
    await client_of(ACME).post("/registry/agents", json=tickets())
    before = (await client_of(READER).get("/registry/agents")).json()
    assert_problem(await client_of(READER).request(method, path, json=body), 403, "scope_missing")
    assert (await client_of(READER).get("/registry/agents")).json() == before


@pytest.mark.parametrize(
    ("method", "path", "body"), [("GET", "/registry/agents/tickets", None), *WRITES], ids=lambda value: str(value)[:40]
)
async def test_another_tenants_agent_does_not_exist(client_of: As, method: str, path: str, body: Any) -> None:
    await client_of(ACME).post("/registry/agents", json=tickets(owner="acme"))
    foreign = await client_of(GLOBEX_ADMIN).request(method, path, json=body)
    unknown = await client_of(GLOBEX_ADMIN).request(method, path.replace("tickets", "nobody"), json=body)
    assert_problem(foreign, 404, "agent_not_found")
    assert foreign.json()["detail"].replace("tickets", "nobody") == unknown.json()["detail"]
    assert (await client_of(ACME).get("/registry/agents/tickets")).json()["revision"] == 1


async def test_another_tenants_agent_is_neither_listed_nor_counted_nor_found(client_of: As) -> None:
    await client_of(ACME).post("/registry/agents", json=tickets(owner="acme"))
    page = (await client_of(GLOBEX).get("/registry/agents")).json()
    assert (page["agents"], page["total"]) == ([], 0)
    found = (await client_of(GLOBEX).get("/registry/search", params={"q": "show my open tickets"})).json()
    assert found["candidates"] == []


async def test_a_shared_agent_is_seen_by_all_tenants_but_not_who_changed_it(client_of: As) -> None:
    await client_of(ACME).post("/registry/agents", json=tickets())
    record = (await client_of(GLOBEX).get("/registry/agents/tickets")).json()
    assert (record["owner"], record["updated_by"]) == (None, "")
    listed = (await client_of(GLOBEX).get("/registry/agents")).json()["agents"]
    assert [agent["updated_by"] for agent in listed] == [""]


async def test_nobody_registers_an_agent_for_another_tenant(client_of: As) -> None:
    response = await client_of(GLOBEX_ADMIN).post("/registry/agents", json=tickets(owner="acme"))
    assert_problem(response, 403, "other_tenant")
    assert (await client_of(ACME).get("/registry/agents")).json()["total"] == 0


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_an_unknown_agent_cannot_be_changed(client: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    assert_problem(await client.request(method, path, json=body), 404, "agent_not_found")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        oxygen(name="Not A Name"),
        oxygen(name="a" * 65),
        oxygen(name=""),
        oxygen(name=7),
        oxygen(a2a="http://x/y"),
        oxygen(factory_module="x"),
        oxygen(http=None, factory_module="x"),
        oxygen(factory_params={"a": 1}),
        oxygen(http="javascript:alert(1)"),
        oxygen(tags="a,b"),
        oxygen(tags=[""]),
        oxygen(autonomy_ceiling="L9"),
        oxygen(unknown=1),
        oxygen(owner="a/b"),
        [],
        "text",
        None,
    ],
)
async def test_a_registration_that_makes_no_sense_is_refused(client: httpx.AsyncClient, body: Any) -> None:
    assert_problem(await client.post("/registry/agents", json=body), 422, "invalid")
    assert (await client.get("/registry/agents")).json()["total"] == 0


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"name": "a", "name": "b"}', b'{"name": "\\u0000"}', b"NaN"])
@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path, body in EVERYTHING if body is not None]
)  # fmt: skip
async def test_a_body_that_is_not_json_is_refused(
    client: httpx.AsyncClient, method: str, path: str, body: bytes
) -> None:
    headers = {"content-type": "application/json"}
    assert_problem(await client.request(method, path, content=body, headers=headers), 400, "malformed_json")


@pytest.mark.parametrize(
    "path",
    [
        "/registry/agents?limit=0",
        "/registry/agents?limit=201",
        "/registry/agents?limit=99999999999999999999999",
        "/registry/agents?limit=x",
        "/registry/agents?enabled_only=perhaps",
        "/registry/agents/Not%20A%20Name",
        "/registry/agents/a%00b",
        "/registry/search",
        "/registry/search?q=x&k=0",
        "/registry/search?q=x&k=101",
        "/registry/search?q=%00",
    ],
)
async def test_parameters_out_of_their_range_are_refused(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(path), 422, "invalid")


@pytest.mark.parametrize("cursor", ["x", "W10", "%00", "WyJhXHUwMDAwIl0", "ÿ", "WzFd", "W" * 999])
async def test_a_cursor_of_somebody_elses_making_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    assert_problem(await client.get("/registry/agents", params={"cursor": cursor}), 422, "invalid_cursor")


async def test_search_ranks_the_agent_that_fits_first_and_says_why(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=tickets())
    await client.post("/registry/agents", json=oxygen())
    answer = (await client.get("/registry/search", params={"q": "show my tickets"})).json()
    best = answer["candidates"][0]
    assert best["name"] == "tickets"
    assert answer["threshold"] <= best["score"] <= 1
    assert "tickets" in best["matched"]
    assert answer["query"] == "show my tickets"


async def test_search_follows_every_change_at_once(client: httpx.AsyncClient) -> None:
    async def found(query: str, **params: str) -> list[str]:
        answer = (await client.get("/registry/search", params={"q": query, **params})).json()
        return [candidate["name"] for candidate in answer["candidates"]]

    await client.post("/registry/agents", json=tickets())
    assert await found("tickets") == ["tickets"]
    assert await found("tickets", tags="learning") == []
    await client.patch("/registry/agents/tickets/status", json={"enabled": False})
    assert await found("tickets") == []
    assert await found("tickets", enabled_only="false") == ["tickets"]
    await client.patch("/registry/agents/tickets/status", json={"enabled": True})
    await client.put("/registry/agents/tickets/capabilities", json={"example_queries": ["water the garden"]})
    assert await found("garden") == ["tickets"]
    await client.delete("/registry/agents/tickets")
    assert await found("tickets") == await found("garden") == []


@pytest.mark.parametrize("query", ["", " ", "?!", "x" * 20_000, "😀" * 100, "ü" * 3])
async def test_no_query_is_too_odd_to_be_searched(client: httpx.AsyncClient, query: str) -> None:
    await client.post("/registry/agents", json=tickets())
    response = await client.get("/registry/search", params={"q": query})
    assert (response.status_code, response.json()["candidates"]) == (200, [])


async def test_the_bundled_factories_are_found_without_importing_them(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/registry/factories")).json()
    assert answer["prefixes"] == ["examples."]
    found = {(factory["factory_module"], factory["factory_function"]) for factory in answer["factories"]}
    assert ("examples.agents.tickets", "create_agent") in found


async def test_numbers_of_any_size_survive_in_parameters(client: httpx.AsyncClient) -> None:
    parameters = {"large": 10**300, "small": -(10**30), "float": 1e300, "deep": [[[[{}]]]]}
    assert (await client.post("/registry/agents", json=tickets(factory_params=parameters))).status_code == 201
    assert (await client.get("/registry/agents/tickets")).json()["factory_params"] == parameters


async def test_a_disk_that_fails_answers_503_and_nothing_has_changed(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    await client.post("/registry/agents", json=tickets())
    store.broken = True
    response = await client.post("/registry/agents", json=oxygen())
    assert_problem(response, 503, "registry_not_writable")
    assert response.headers["retry-after"] == "1"
    assert (await client.get("/registry/agents")).json()["total"] == 1
    assert (await client.get("/registry/search", params={"q": "python course"})).json()["candidates"] == []
    health = (await client.get("/health")).json()
    assert health["status"] == "degraded"
    assert "written" in health["dependencies"]["file"]["detail"]


async def test_a_registry_comes_back_from_its_file(tmp_path: Path) -> None:
    settings = Settings(file=tmp_path / "registry.json", common=CommonSettings(identity_public_keys=PUBLIC))
    for status in (201, 409):
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            client = service_client(app, ACME, "registry", PRIVATE)
            assert (await client.post("/registry/agents", json=tickets())).status_code == status
            found = (await client.get("/registry/search", params={"q": "my tickets"})).json()["candidates"]
            assert [candidate["name"] for candidate in found] == ["tickets"]
            assert (await client.get("/health")).json()["status"] == "ok"


async def test_a_damaged_file_is_told_in_the_health_without_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_text('{"version": "1.0.0", "agents": {"secret-name": {}}}')
    settings = Settings(file=path, common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        response = await service_client(app, None, "registry", PRIVATE).get("/health")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert "STARTED EMPTY" in response.json()["dependencies"]["file"]["detail"]
    assert "secret-name" not in response.text


SAME = {"iatros": "doctor", "tabib": "doctor", "voiture": "car"}


class Thesaurus:
    """An embedder to which some words mean the same; under a name that the ranking is fitted for."""

    def __init__(self) -> None:
        self.away, self.asked = False, 0

    async def query(self, text: str) -> Embedded:
        self.asked += 1
        return await self.documents([text])

    async def documents(self, texts: Sequence[str]) -> Embedded:
        if self.away:
            raise EmbedderAway("away")
        vectors = []
        for text in texts:
            meant = {SAME.get(word, word) for word in text.split()}
            vectors.append([float(word in meant) for word in ("doctor", "car", "tax")])
        return Embedded("all-minilm-l6-v2", vectors)


@pytest.fixture
async def meaning(store: MemoryStore) -> AsyncIterator[tuple[As, Thesaurus, Callable[[], int]]]:
    @asynccontextmanager
    async def open_store() -> AsyncIterator[RegistryStore]:
        yield store

    thesaurus = Thesaurus()
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings, open_store=open_store, clock=FixedClock(), embedder=thesaurus)
    async with app.router.lifespan_context(app):
        yield (
            lambda principal: service_client(app, principal, "registry", PRIVATE),
            thesaurus,
            lambda: int(app.state.embeddings.waiting),
        )


async def test_search_finds_by_meaning_and_goes_on_by_words_when_the_embedder_is_away(
    meaning: tuple[As, Thesaurus, Callable[[], int]],
) -> None:
    client_of, thesaurus, waiting = meaning
    client = client_of(ACME)
    for name, example in (("health", "see a doctor"), ("garage", "repair a car")):
        examples = {"example_queries": [example]}
        assert (await client.post("/registry/agents", json=oxygen(name=name, capabilities=examples))).status_code == 201
    await eventually(lambda: waiting() == 0)

    async def candidates(q: str) -> list[dict[str, Any]]:
        response = await client.get("/registry/search", params={"q": q})
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["candidates"]
        return found

    best = (await candidates("iatros"))[0]
    assert (best["name"], best["semantic"], best["lexical"], best["matched"]) == ("health", 1.0, 0.0, [])
    thesaurus.away = True
    asked = thesaurus.asked
    by_words = await candidates("repair my voiture")
    assert [(each["name"], each["semantic"]) for each in by_words] == [("garage", None)]
    assert await candidates("tabib") == []
    assert thesaurus.asked == asked + 1  # not asked again at once
    assert (await candidates("iatros"))[0]["semantic"] == 1.0  # a query that is remembered needs nobody


async def test_meaning_shows_nobody_an_agent_of_another_tenant(
    meaning: tuple[As, Thesaurus, Callable[[], int]],
) -> None:
    client_of, _, waiting = meaning
    private = oxygen(name="health", owner="acme", capabilities={"example_queries": ["see a doctor"]})
    assert (await client_of(ACME).post("/registry/agents", json=private)).status_code == 201
    await eventually(lambda: waiting() == 0)
    for principal, names in ((ACME, ["health"]), (GLOBEX, []), (GLOBEX_ADMIN, [])):
        answer = await client_of(principal).get("/registry/search", params={"q": "iatros"})
        assert [each["name"] for each in answer.json()["candidates"]] == names
