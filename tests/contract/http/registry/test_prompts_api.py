"""Prompts over HTTP: versions that never change, labels, rendering."""

from typing import Any

import httpx
import pytest

from tests.contract.http.registry.world import ACME, GLOBEX, READER, As, agent, assert_problem

PROMPT = "/registry/prompts/greeting"


async def add(client: httpx.AsyncClient, text: str, *variables: str, **fields: Any) -> httpx.Response:
    return await client.post(f"{PROMPT}/versions", json={"text": text, "variables": list(variables)} | fields)


async def test_versions_are_counted_and_kept(client: httpx.AsyncClient) -> None:
    assert (await add(client, "Hello")).json() == {"status": "added", "prompt_name": "greeting", "version": 1}
    assert (await add(client, "Hello {{ user }}", "user", description="By name.")).json()["version"] == 2
    prompt = (await client.get(PROMPT)).json()
    assert [(each["version"], each["text"]) for each in prompt["versions"]] == [(1, "Hello"), (2, "Hello {{ user }}")]
    assert (prompt["labels"], prompt["revision"]) == ({"latest": 2}, 2)
    assert prompt["versions"][1]["created_by"] == "acme/ann"


async def test_the_same_text_again_makes_no_version(client: httpx.AsyncClient) -> None:
    assert (await add(client, "Hello")).status_code == 201
    again = await add(client, "Hello")
    assert (again.status_code, again.json()["status"], again.json()["version"]) == (200, "unchanged", 1)
    assert (await client.get(PROMPT)).headers["etag"] == '"1"'


async def test_labels_point_at_versions(client: httpx.AsyncClient) -> None:
    await add(client, "One")
    await add(client, "Two")
    label = f"{PROMPT}/labels/production"
    assert (await client.put(label, json={"version": 1})).json() == {"status": "updated", "revision": 3}
    assert (await client.get(PROMPT)).json()["labels"] == {"latest": 2, "production": 1}
    render = {"label": "production"}
    assert (await client.post(f"{PROMPT}/render", json=render)).json() == {
        "name": "greeting", "version": 1, "text": "One",
    }  # fmt: skip
    assert_problem(await client.put(label, json={"version": 9}), 404, "prompt_version_not_found")
    assert (await client.delete(label)).json()["status"] == "deleted"
    assert_problem(await client.delete(label), 404, "label_not_found")
    assert_problem(await client.post(f"{PROMPT}/render", json=render), 404, "prompt_version_not_found")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_latest_is_nobodys_to_set(client: httpx.AsyncClient, method: str) -> None:
    await add(client, "One")
    body = {"version": 1} if method == "PUT" else None
    assert_problem(await client.request(method, f"{PROMPT}/labels/latest", json=body), 422, "label_reserved")


async def test_rendering_inserts_text_and_evaluates_nothing(client: httpx.AsyncClient) -> None:
    await add(client, "{{a}} and {{ b }} and {{ a }} {a} %s $a {0.__class__}", "a", "b")
    given = {"variables": {"a": "{{ b }}", "b": "\\1 {{ a }} {% raw %}"}}
    rendered = (await client.post(f"{PROMPT}/render", json=given)).json()
    assert rendered["text"] == "{{ b }} and \\1 {{ a }} {% raw %} and {{ b }} {a} %s $a {0.__class__}"


async def test_missing_and_undeclared_variables_are_named(client: httpx.AsyncClient) -> None:
    await add(client, "{{ a }}{{ b }}", "a", "b")
    response = await client.post(f"{PROMPT}/render", json={"variables": {"b": "x", "c": "y"}})
    assert_problem(response, 422, "prompt_variables")
    assert [(each["location"], each["message"]) for each in response.json()["errors"]] == [
        ("body.variables.a", "missing"),
        ("body.variables.c", "undeclared"),
    ]


@pytest.mark.parametrize(
    ("text", "variables", "location"),
    [
        ("{{ user }}", [], "body.variables.user"),
        ("Hello", ["user"], "body.variables.user"),
        ("{{ user }}", ["user", "user"], "body.variables.user"),
        ("{{ User }}", ["user"], "body.text"),
        ("{{ user.name }}", [], "body.text"),
        ("{{ 1 + 1 }}", [], "body.text"),
        ("{{}}", [], "body.text"),
    ],
)
async def test_exactly_what_is_used_must_be_declared(
    client: httpx.AsyncClient, text: str, variables: list[str], location: str
) -> None:
    response = await client.post(f"{PROMPT}/versions", json={"text": text, "variables": variables})
    assert_problem(response, 422, "prompt_variables")
    assert response.json()["errors"][0]["location"] == location
    assert (await client.get("/registry/prompts")).json()["total"] == 0


async def test_a_rendered_text_is_bounded(client: httpx.AsyncClient) -> None:
    await add(client, "{{ a }}" * 1000, "a")
    given = {"variables": {"a": "x" * 100_000}}
    assert_problem(await client.post(f"{PROMPT}/render", json=given), 422, "prompt_too_long")


async def test_a_deleted_prompt_comes_back_with_new_numbers(client: httpx.AsyncClient) -> None:
    await add(client, "One")
    assert (await client.delete(PROMPT)).json()["status"] == "deleted"
    assert_problem(await client.get(PROMPT), 404, "prompt_not_found")
    assert (await add(client, "Another")).json()["version"] == 2, (
        "what a client kept as version 1 is never another text"
    )
    assert_problem(await client.post(f"{PROMPT}/render", json={"version": 1}), 404, "prompt_version_not_found")


async def test_prompts_are_listed_by_name_in_pages(client: httpx.AsyncClient) -> None:
    for name in ("b", "c", "a"):
        await client.post(f"/registry/prompts/{name}/versions", json={"text": name})
    first = (await client.get("/registry/prompts", params={"limit": 2})).json()
    rest = (await client.get("/registry/prompts", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [each["name"] for each in first["prompts"] + rest["prompts"]] == ["a", "b", "c"]
    assert (first["total"], rest["next_cursor"]) == (3, None)


async def test_another_tenants_prompt_does_not_exist_but_its_name_is_taken(client_of: As) -> None:
    acme, globex = client_of(ACME), client_of(GLOBEX)
    await add(acme, "Ours", owner="acme")
    for response in (
        await globex.get(PROMPT),
        await globex.delete(PROMPT),
        await globex.post(f"{PROMPT}/render", json={}),
        await globex.put(f"{PROMPT}/labels/x", json={"version": 1}),
        await globex.delete(f"{PROMPT}/labels/x"),
    ):
        assert_problem(response, 404, "prompt_not_found")
    assert_problem(await add(globex, "Mine"), 409, "prompt_exists")
    assert_problem(await add(globex, "Mine", owner="acme"), 403, "other_tenant")
    assert (await globex.get("/registry/prompts")).json()["total"] == 0
    assert_problem(
        await add(acme, "Ours", owner=None) and await acme.get("/registry/prompts/x"), 404, "prompt_not_found"
    )


async def test_who_may_only_read_renders_and_changes_nothing(client_of: As) -> None:
    await add(client_of(ACME), "One")
    reader = client_of(READER)
    for response in (
        await add(reader, "Two"),
        await reader.put(f"{PROMPT}/labels/x", json={"version": 1}),
        await reader.delete(f"{PROMPT}/labels/x"),
        await reader.delete(PROMPT),
    ):
        assert_problem(response, 403, "scope_missing")
    assert (await reader.post(f"{PROMPT}/render", json={})).json()["text"] == "One"


async def test_if_match_and_if_none_match_are_honoured(client: httpx.AsyncClient) -> None:
    await add(client, "One")
    for method, path, body in (
        ("POST", "/versions", {"text": "Two"}),
        ("PUT", "/labels/x", {"version": 1}),
        ("DELETE", "", None),
    ):
        response = await client.request(method, PROMPT + path, json=body, headers={"if-match": '"9"'})
        assert_problem(response, 412, "revision_changed")
    assert (await client.get(PROMPT, headers={"if-none-match": '"1"'})).status_code == 304


@pytest.mark.parametrize(
    ("body", "code"),
    [({"text": ""}, "invalid"), ({"text": "x", "variables": ["Bad"]}, "invalid"), ({}, "invalid"), ([], "invalid")],
)
async def test_a_version_that_makes_no_sense_is_refused(client: httpx.AsyncClient, body: Any, code: str) -> None:
    assert_problem(await client.post(f"{PROMPT}/versions", json=body), 422, code)


async def test_a_label_and_a_version_at_once_are_refused(client: httpx.AsyncClient) -> None:
    await add(client, "One")
    assert_problem(await client.post(f"{PROMPT}/render", json={"label": "latest", "version": 1}), 422, "invalid")


@pytest.mark.parametrize("reference", ["greeting", "greeting@latest", "greeting@production", "greeting@1"])
async def test_an_agent_may_refer_to_a_prompt_that_is_there(client: httpx.AsyncClient, reference: str) -> None:
    await add(client, "One")
    await client.put(f"{PROMPT}/labels/production", json={"version": 1})
    assert (await client.post("/registry/agents", json=agent(prompt=reference))).status_code == 201


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("nobody", "prompt_not_found"),
        ("greeting@staging", "prompt_not_found"),
        ("greeting@7", "prompt_not_found"),
        ("Greeting!", "invalid"),
        ("greeting@", "invalid"),
        ("greeting@0", "invalid"),
    ],
)
async def test_an_agent_cannot_refer_to_a_prompt_that_is_not_there(
    client: httpx.AsyncClient, reference: str, code: str
) -> None:
    await add(client, "One")
    response = await client.post("/registry/agents", json=agent(prompt=reference))
    assert_problem(response, 422, code)
    assert response.json()["errors"][0]["location"] == "body.prompt"
    await client.post("/registry/agents", json=agent())
    assert_problem(await client.patch("/registry/agents/tickets", json={"prompt": reference}), 422, code)
