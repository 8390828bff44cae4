"""Nobody sees, changes or finds what belongs to somebody else."""

from collections.abc import Awaitable, Callable

import pytest

from bureau import Bureau
from bureau.errors import BureauError, Forbidden, NotFound
from bureau_contracts.jobs import StartJob
from bureau_contracts.memory import MemoryPatch, NewMemory
from bureau_contracts.registry import RegisterAgent
from bureau_contracts.sessions import NewMessage, NewSession, Role
from examples.demo.system import System


async def test_another_users_session_is_not_there(ada: Bureau, grace: Bureau) -> None:
    mine = (await ada.chat("show my tickets")).session_id
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: grace.sessions.get(mine),
        lambda: grace.sessions.history(mine),
        lambda: grace.sessions.context(mine),
        lambda: grace.sessions.add_message(mine, NewMessage(role=Role.USER, content="x")),
        lambda: grace.sessions.acquire_lease(mine, "grace"),
        lambda: grace.sessions.delete(mine, purge=True),
        lambda: grace.runtime.session(mine),
        lambda: grace.runtime.archive(mine),
        lambda: grace.chat("show details", session_id=mine),
    ]
    for call in calls:
        with pytest.raises(NotFound) as refused:
            await call()
        assert refused.value.code == "session_not_found"
    assert mine not in [session.session_id async for session in grace.sessions.all()]
    assert (await ada.sessions.get(mine)).session.message_count >= 2


async def test_another_users_memories_are_not_found(ada: Bureau, grace: Bureau) -> None:
    stored = await ada.memory.store(NewMemory(text="Ada's door code is written on her desk"))
    assert not (await grace.memory.search("door code desk")).results
    for call in (
        lambda: grace.memory.get(stored.memory_id),
        lambda: grace.memory.delete(stored.memory_id),
        lambda: grace.memory.update(stored.memory_id, MemoryPatch(text="mine")),
    ):
        with pytest.raises(NotFound):
            await call()
    assert (await ada.memory.get(stored.memory_id)).text.startswith("Ada's door code")


async def test_another_users_job_is_not_there(ada: Bureau, grace: Bureau) -> None:
    started = await ada.jobs.start(
        StartJob.model_validate({"title": "mine", "steps": [{"name": "w", "kind": "wait", "seconds": 30}]})
    )
    for call in (grace.jobs.get, grace.jobs.cancel, grace.jobs.pause):
        with pytest.raises(NotFound):
            await call(started.job_id)
    with pytest.raises(NotFound):
        await anext(grace.jobs.events(started.job_id))
    await ada.jobs.cancel(started.job_id)


async def test_naming_another_user_needs_a_tenant_wide_scope(ada: Bureau, admin: Bureau) -> None:
    for call in (
        lambda: ada.sessions.create(NewSession(user_id="grace")),
        lambda: ada.sessions.page(user_id="grace"),
        lambda: ada.memory.search("x", user_id="grace"),
        lambda: ada.memory.erase("grace"),
        lambda: ada.chat("show my tickets", user_id="grace"),
    ):
        with pytest.raises(Forbidden):
            await call()
    answer = await admin.chat("show my tickets", user_id="grace")
    assert "T-1004" in answer.reply
    assert "T-1001" not in answer.reply


async def test_another_tenant_sees_nothing_of_this_one(system: System, ada: Bureau) -> None:
    mine = (await ada.chat("show my tickets")).session_id
    await ada.memory.store(NewMemory(text="the harvest moon password is swordfish"))
    async with Bureau(system.url, system.key("ada", tenant="other", scopes=["admin"])) as stranger:
        with pytest.raises(NotFound):
            await stranger.sessions.get(mine)
        assert [session.session_id async for session in stranger.sessions.all()] == []
        assert (await stranger.jobs.page()).jobs == []
        assert (await stranger.memory.search("harvest moon password")).results == []
        assert (await stranger.evaluation.metrics()).metrics == []


async def test_an_ordinary_user_cannot_change_the_registry(ada: Bureau) -> None:
    before = (await ada.agents.page()).total
    agent = RegisterAgent.model_validate({"name": "intruder", "http": "http://127.0.0.1:1"})
    for call in (
        lambda: ada.agents.register(agent),
        lambda: ada.agents.set_enabled("tickets", False),
        lambda: ada.agents.delete("tickets"),
    ):
        with pytest.raises(BureauError) as refused:
            await call()
        assert (refused.value.status, refused.value.code) == (403, "scope_missing")
    assert (await ada.agents.page()).total == before
