"""State that sessions share: the same on ADK's own session services and on ours."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.adk.events import Event, EventActions
from google.adk.sessions import BaseSessionService

from tests.adk_sessions import SERVICES, service_named

APP, USER = "shop", "anna"


@pytest.fixture(params=SERVICES)
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseSessionService]:
    async with service_named(request.param, tmp_path) as service:
        yield service


async def state_of(service: BaseSessionService, session_id: str, app: str = APP, user: str = USER) -> dict[str, Any]:
    session = await service.get_session(app_name=app, user_id=user, session_id=session_id)
    assert session is not None
    return session.state


async def test_user_state_is_shared_by_a_users_sessions_of_one_app(service: BaseSessionService) -> None:
    first = await service.create_session(app_name=APP, user_id=USER, session_id="first")
    await service.create_session(app_name=APP, user_id=USER, session_id="second", state={"own": 2})
    await service.create_session(app_name="desk", user_id=USER, session_id="third")
    await service.create_session(app_name=APP, user_id="bob", session_id="fourth")
    delta = {"user:lang": "de", "app:motd": "hello", "own": 1}
    await service.append_event(first, Event(author="clerk", actions=EventActions(state_delta=delta)))
    assert await state_of(service, "second") == {"own": 2, "user:lang": "de", "app:motd": "hello"}
    assert await state_of(service, "third", app="desk") == {}
    assert await state_of(service, "fourth", user="bob") == {"app:motd": "hello"}
    assert await service.get_user_state(app_name=APP, user_id=USER) == {"lang": "de"}
    assert await service.get_user_state(app_name="desk", user_id=USER) == {}
    assert await service.get_user_state(app_name=APP, user_id="nobody") == {}
    fifth = await service.create_session(app_name=APP, user_id=USER, session_id="fifth")
    assert fifth.state == {"user:lang": "de", "app:motd": "hello"}
