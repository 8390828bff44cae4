"""The registry's prompts over HTTP."""

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from bureau_contracts.prompts import (
    NewPromptVersion,
    PromptLabel,
    PromptName,
    PromptPage,
    PromptRecord,
    RenderedPrompt,
    RenderPrompt,
    SetLabel,
    VersionAdded,
)
from bureau_contracts.registry import Changed
from bureau_contracts.shapes import Limit
from kit.web import PrincipalDep, router
from services.registry.etags import KnownDep, RevisionsDep, etag, not_modified
from services.registry.prompts import Prompts

routes = router("/registry/prompts", "prompts")


def _prompts(request: Request) -> Prompts:
    prompts: Prompts = request.app.state.prompts
    return prompts


PromptsDep = Annotated[Prompts, Depends(_prompts)]


@routes.get("")
async def list_prompts(
    principal: PrincipalDep,
    prompts: PromptsDep,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> PromptPage:
    """Prompts by name, without their texts."""
    return prompts.page(principal, limit, cursor)


@routes.get("/{name}", response_model=PromptRecord)
async def get_prompt(
    principal: PrincipalDep, prompts: PromptsDep, name: PromptName, known: KnownDep, response: Response
) -> PromptRecord | Response:
    """With every version. Its ETag counts every change, of labels too; 304 when If-None-Match names it."""
    prompt = prompts.get(principal, name)
    if prompt.revision in known:
        return not_modified(prompt.revision)
    response.headers["etag"] = etag(prompt.revision)
    return prompt


@routes.post("/{name}/versions", status_code=201)
async def add_prompt_version(
    principal: PrincipalDep,
    prompts: PromptsDep,
    name: PromptName,
    version: NewPromptVersion,
    revisions: RevisionsDep,
    response: Response,
) -> VersionAdded:
    """The first makes the prompt. 200 and `unchanged` when the newest version says the same."""
    added = await prompts.add_version(principal, name, version, revisions)
    if added.status == "unchanged":
        response.status_code = 200
    return added


@routes.put("/{name}/labels/{label}")
async def set_prompt_label(
    principal: PrincipalDep,
    prompts: PromptsDep,
    name: PromptName,
    label: PromptLabel,
    to: SetLabel,
    revisions: RevisionsDep,
) -> Changed:
    prompt = await prompts.set_label(principal, name, label, to.version, revisions)
    return Changed(status="updated", revision=prompt.revision)


@routes.delete("/{name}/labels/{label}")
async def delete_prompt_label(
    principal: PrincipalDep, prompts: PromptsDep, name: PromptName, label: PromptLabel, revisions: RevisionsDep
) -> Changed:
    prompt = await prompts.remove_label(principal, name, label, revisions)
    return Changed(status="deleted", revision=prompt.revision)


@routes.post("/{name}/render")
async def render_prompt(
    principal: PrincipalDep, prompts: PromptsDep, name: PromptName, wanted: RenderPrompt
) -> RenderedPrompt:
    """Inserts the variables' texts; evaluates nothing. 422 names what is missing or not declared."""
    return prompts.render(principal, name, wanted)


@routes.delete("/{name}")
async def delete_prompt(
    principal: PrincipalDep, prompts: PromptsDep, name: PromptName, revisions: RevisionsDep
) -> Changed:
    """With all of its versions. Agents that refer to it cannot answer any more."""
    await prompts.delete(principal, name, revisions)
    return Changed(status="deleted")
