"""ADK's own runner, with its sessions in a real sessions service behind a socket."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.apps import App
from google.adk.errors import StaleSessionError
from google.adk.events import Event
from google.adk.runners import Runner
from google.adk.sessions import Session
from google.genai import types

from bureau.adapters.adk import BureauSessionService
from bureau.adapters.adk.names import bureau_id
from services.sessions.store_sqlite import SqliteSessionStore
from tests.adk_sessions import bureau_at, sessions_app
from tests.integration.adk.agents.clerk.agent import root_agent
from tests.servers import serving

NAMES: dict[str, Any] = {"app_name": "desk", "user_id": "anna", "session_id": "s"}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with serving(sessions_app(SqliteSessionStore(tmp_path / "sessions.db"))) as url:
        yield url


@pytest.fixture
async def service(url: str) -> AsyncIterator[BureauSessionService]:
    async with BureauSessionService(bureau_at(url)) as service:
        yield service


def runner_over(service: BureauSessionService) -> Runner:
    return Runner(app=App(name="desk", root_agent=root_agent), session_service=service, auto_create_session=True)


async def say(runner: Runner, text: str) -> list[Event]:
    message = types.Content(role="user", parts=[types.Part(text=text)])
    return [event async for event in runner.run_async(user_id="anna", session_id="s", new_message=message)]


async def read(service: BureauSessionService) -> Session:
    session = await service.get_session(**NAMES)
    assert session is not None
    return session


def spoken(events: list[Event]) -> str | None:
    return (events[-1].content or types.Content()).parts[0].text  # type: ignore[index]  # our script says something


async def test_a_conversation_of_ten_turns_is_held_and_kept(url: str, service: BureauSessionService) -> None:
    """Each turn by a runner and a client of its own: nothing is remembered outside Bureau."""
    answers = []
    for turn in range(1, 11):
        async with BureauSessionService(bureau_at(url)) as own:
            events = await say(runner_over(own), f"word {turn}")
            answers.append(events)
            assert spoken(events) == f"turn {turn}, {4 * turn - 1} messages"
    session = await read(service)
    assert len(session.events) == 40
    assert session.state == {"turns": 10, "user:turns": 10, "app:turns": 10}
    assert [event.id for event in session.events if event.author == "clerk"] == [
        event.id for events in answers for event in events
    ]
    async with bureau_at(url) as bureau:
        view = await bureau.sessions.get(bureau_id("desk", "anna", "s"))
    assert [message.seq for message in view.conversation_history] == list(range(1, 41))
    assert [message.role for message in view.conversation_history[:4]] == ["user", "assistant", "tool", "assistant"]
    assert [message.content for message in view.conversation_history[-4:]] == [
        "word 10", "", "", "turn 10, 39 messages",
    ]  # fmt: skip


async def test_a_runner_that_was_overtaken_is_told_and_nothing_interleaves(
    url: str, service: BureauSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runners answer at once, each with a service of its own; both have read the session before either writes."""
    await say(runner_over(service), "first")
    both_read = asyncio.Barrier(2)

    async def overlapping(text: str) -> list[Event]:
        async with BureauSessionService(bureau_at(url)) as own:
            get, waited = own.get_session, False

            async def get_and_wait(**arguments: object) -> Session | None:
                nonlocal waited
                session = await get(**arguments)  # type: ignore[arg-type]  # handed through
                if not waited:
                    waited = True
                    async with asyncio.timeout(10):
                        await both_read.wait()
                return session

            monkeypatch.setattr(own, "get_session", get_and_wait)
            return await say(runner_over(own), text)

    results = await asyncio.gather(overlapping("left"), overlapping("right"), return_exceptions=True)
    told = [each for each in results if isinstance(each, StaleSessionError)]
    answered = [each for each in results if isinstance(each, list)]
    assert (len(told), len(answered)) == (1, 1)
    session = await read(service)
    assert len(session.events) == 8
    assert session.state["turns"] == 2
    assert len({event.invocation_id for event in session.events[4:]}) == 1


async def test_a_rewound_session_goes_on_from_where_it_was(service: BureauSessionService) -> None:
    runner = runner_over(service)
    for turn in range(1, 4):
        await say(runner, f"word {turn}")
    second = (await read(service)).events[4].invocation_id
    await runner.rewind_async(user_id="anna", session_id="s", rewind_before_invocation_id=second)
    rewound = await read(service)
    assert rewound.state == {"turns": 1, "user:turns": 3, "app:turns": 3}
    assert rewound.events[-1].actions.rewind_before_invocation_id == second
    assert spoken(await say(runner, "again")) == "turn 2, 7 messages"
    assert (await read(service)).state["turns"] == 2
