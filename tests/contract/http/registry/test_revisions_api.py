"""Revisions over HTTP: what was, what differs, and how it comes back."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.registry.document import REVISIONS
from services.registry.json_file import JsonFile
from services.registry.store_json import open_json_store
from tests.contract.http.registry.conftest import registry_app
from tests.contract.http.registry.world import ACME, GLOBEX, PRIVATE, READER, As, agent, assert_problem
from tests.fakes import FixedClock
from tests.http import service_client

AGENT = "/registry/agents/tickets"


async def describe(client: httpx.AsyncClient, *texts: str) -> None:
    for text in texts:
        assert (await client.patch(AGENT, json={"description": text})).status_code == 200


async def revisions(client: httpx.AsyncClient, path: str = AGENT) -> list[dict[str, Any]]:
    response = await client.get(f"{path}/revisions")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["revisions"]
    return found


async def test_every_change_makes_a_revision_with_who_and_when_newest_first(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    await describe(client, "Two.")
    newest, first = await revisions(client)
    assert (newest["revision"], newest["change"], newest["record"]["description"]) == (2, "updated", "Two.")
    assert (first["revision"], first["change"], first["record"]["description"]) == (
        1, "registered", "Looks after tickets.",
    )  # fmt: skip
    assert newest["by"] == first["by"] == "acme/ann"
    assert newest["at"] == "2026-01-02T03:04:05Z"
    assert newest["seq"] > first["seq"]


async def test_a_bounded_number_is_kept(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    await describe(client, *(str(n) for n in range(REVISIONS + 5)))
    kept = [each["revision"] for each in await revisions(client)]
    assert kept == list(range(REVISIONS + 6, 6, -1))[:REVISIONS]
    assert len(kept) == REVISIONS
    oldest = kept[-1]
    assert_problem(await client.get(f"{AGENT}/revisions/{oldest}/diff"), 404, "revision_not_found")


async def test_a_diff_names_the_fields_that_differ(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    await client.patch(AGENT, json={"description": "Two.", "tags": ["a"]})
    await describe(client, "Three.")
    diff = (await client.get(f"{AGENT}/revisions/3/diff")).json()
    assert diff == {
        "from_revision": 2, "to_revision": 3, "fields": {"description": {"before": "Two.", "after": "Three."}},
    }  # fmt: skip
    diff = (await client.get(f"{AGENT}/revisions/3/diff", params={"against": 1})).json()
    assert diff["fields"].keys() == {"description", "tags"}
    backwards = (await client.get(f"{AGENT}/revisions/1/diff", params={"against": 3})).json()
    assert backwards["fields"]["tags"] == {"before": ["a"], "after": []}
    first = (await client.get(f"{AGENT}/revisions/1/diff")).json()
    assert (first["from_revision"], first["fields"]["http"]["after"]) == (0, "http://tickets/turn")


async def test_an_older_revision_is_restored_as_a_new_one(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    await describe(client, "Two.", "Three.")
    response = await client.post(f"{AGENT}/revisions/2/restore")
    assert response.json() == {"status": "restored", "name": "tickets", "revision": 4, "restored_from": 2}
    assert response.headers["etag"] == '"4"'
    assert (await client.get(AGENT)).json()["description"] == "Two."
    assert (await revisions(client))[0]["change"] == "restored"
    again = await client.post(f"{AGENT}/revisions/4/restore")
    assert again.json()["revision"] == 4, "what is so already makes no revision"


async def test_a_deleted_agent_keeps_its_revisions_and_comes_back_counting_on(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    await describe(client, "Two.")
    await client.delete(AGENT)
    gone = (await revisions(client))[0]
    assert (gone["revision"], gone["change"], gone["record"]) == (3, "deleted", None)
    assert (await client.get(f"{AGENT}/revisions/3/diff")).json()["fields"]["description"]["after"] is None
    assert_problem(await client.post(f"{AGENT}/revisions/3/restore"), 409, "revision_deleted")
    assert (await client.post(f"{AGENT}/revisions/2/restore")).json()["revision"] == 4
    assert (await client.get(AGENT)).json()["description"] == "Two."


async def test_a_name_that_is_registered_again_never_has_an_old_etag(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    await client.delete(AGENT)
    response = await client.post("/registry/agents", json=agent())
    assert (response.json()["revision"], response.headers["etag"]) == (3, '"3"')
    assert_problem(await client.delete(AGENT, headers={"if-match": '"1"'}), 412, "revision_changed")


async def test_restoring_honours_if_match(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    await describe(client, "Two.")
    path = f"{AGENT}/revisions/1/restore"
    assert_problem(await client.post(path, headers={"if-match": '"1"'}), 412, "revision_changed")
    assert (await client.post(path, headers={"if-match": '"2"'})).json()["revision"] == 3
    await client.delete(AGENT)
    assert_problem(await client.post(path, headers={"if-match": '"3"'}), 412, "revision_changed")
    assert (await client.post(path, headers={"if-match": '"4"'})).json()["revision"] == 5


async def test_sixty_four_editors_at_once_lose_no_edit(tmp_path: Path) -> None:
    refused = 0

    async def edit(client: httpx.AsyncClient, number: int) -> int:
        nonlocal refused
        for _ in range(1000):
            read = await client.get(AGENT)
            skills = [*read.json()["capabilities"]["skills"], f"skill-{number}"]
            patch = {"capabilities": {"skills": skills}}
            response = await client.patch(AGENT, json=patch, headers={"if-match": read.headers["etag"]})
            if response.status_code == 200:
                return int(response.json()["revision"])
            assert_problem(response, 412, "revision_changed")
            refused += 1
        raise AssertionError("never got through")

    async with open_json_store(JsonFile(tmp_path / "registry.json", sync=lambda _: None), FixedClock()) as store:
        app = registry_app(store)
        async with app.router.lifespan_context(app):
            client = service_client(app, ACME, "registry", PRIVATE)
            await client.post("/registry/agents", json=agent())
            made = await asyncio.gather(*(edit(client, number) for number in range(64)))
            record = (await client.get(AGENT)).json()
    assert sorted(record["capabilities"]["skills"]) == sorted(f"skill-{number}" for number in range(64))
    assert sorted(made) == list(range(2, 66))
    assert refused > 64, "they did get in each other's way"


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 30])
async def test_what_is_no_revision_is_refused(client: httpx.AsyncClient, number: str) -> None:
    await client.post("/registry/agents", json=agent())
    assert_problem(await client.get(f"{AGENT}/revisions/{number}/diff"), 422, "invalid")
    assert_problem(await client.post(f"{AGENT}/revisions/{number}/restore"), 422, "invalid")


async def test_what_is_unknown_is_not_found(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get(f"{AGENT}/revisions"), 404, "agent_not_found")
    assert_problem(await client.post(f"{AGENT}/revisions/1/restore"), 404, "agent_not_found")
    assert_problem(await client.get("/registry/tools/jira/revisions"), 404, "tool_not_found")
    await client.post("/registry/agents", json=agent())
    assert_problem(await client.get(f"{AGENT}/revisions/7/diff"), 404, "revision_not_found")
    assert_problem(await client.get(f"{AGENT}/revisions/1/diff?against=9"), 404, "revision_not_found")
    assert_problem(await client.post(f"{AGENT}/revisions/7/restore"), 404, "revision_not_found")


async def test_who_may_only_read_restores_nothing(client_of: As) -> None:
    await client_of(ACME).post("/registry/agents", json=agent())
    await describe(client_of(ACME), "Two.")
    assert_problem(await client_of(READER).post(f"{AGENT}/revisions/1/restore"), 403, "scope_missing")
    assert len(await revisions(client_of(READER))) == 2
    assert_problem(await client_of(None).get(f"{AGENT}/revisions"), 401, "unauthenticated")


async def test_another_tenants_revisions_do_not_exist_also_after_the_name_went_over(client_of: As) -> None:
    acme, globex = client_of(ACME), client_of(GLOBEX)
    await acme.post("/registry/agents", json=agent(owner="acme"))
    assert_problem(await globex.get(f"{AGENT}/revisions"), 404, "agent_not_found")
    await acme.delete(AGENT)
    assert_problem(await globex.get(f"{AGENT}/revisions"), 404, "agent_not_found")
    await globex.post("/registry/agents", json=agent(owner="globex", description="Ours."))
    assert [each["revision"] for each in await revisions(globex)] == [3]
    assert [each["revision"] for each in await revisions(acme)] == [2, 1]
    assert_problem(await globex.get(f"{AGENT}/revisions/1/diff"), 404, "revision_not_found")
    assert_problem(await globex.post(f"{AGENT}/revisions/1/restore"), 404, "revision_not_found")
    assert_problem(await acme.post(f"{AGENT}/revisions/1/restore"), 409, "agent_exists")
    assert (await globex.get(AGENT)).json()["description"] == "Ours."


async def test_a_shared_agents_revisions_do_not_tell_who_works_for_another_tenant(client_of: As) -> None:
    await client_of(ACME).post("/registry/agents", json=agent())
    (seen,) = await revisions(client_of(GLOBEX))
    assert (seen["by"], seen["record"]["updated_by"]) == ("", "")


async def test_a_client_that_has_the_newest_revision_gets_no_body(client: httpx.AsyncClient) -> None:
    await client.post("/registry/agents", json=agent())
    for known in ('"1"', 'W/"1"', '"7", "1"'):
        response = await client.get(AGENT, headers={"if-none-match": known})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", '"1"')
    for other in ('"2"', "nonsense", ""):
        assert (await client.get(AGENT, headers={"if-none-match": other})).status_code == 200
