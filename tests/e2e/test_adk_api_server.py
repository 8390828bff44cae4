"""`adk api_server` with its sessions in Bureau: a real process, through the gateway, its key in the environment."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bureau import Bureau
from bureau.adapters.adk.names import bureau_id
from examples.demo.system import System
from kit.identity import TENANT_WIDE
from tests.ports import free_port

AGENTS = Path(__file__).resolve().parents[1] / "integration" / "adk" / "agents"
START_SECONDS = 60


@contextlib.contextmanager
def api_server(system: System, key: str, log: Path) -> Iterator[str]:
    port = free_port()
    uri = system.url.replace("http://", "bureau://")
    command = ["google.adk.cli", "api_server", "--port", str(port), "--session_service_uri", uri, str(AGENTS)]
    folder = log.parent
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "BUREAU_API_KEY": key}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + START_SECONDS
            while not answers(url):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/list-apps", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def orchestrators_key(system: System) -> str:
    return system.key("orchestrator", scopes=[TENANT_WIDE])


async def test_adks_api_server_keeps_its_sessions_in_bureau(
    system: System, orchestrators_key: str, tmp_path: Path
) -> None:
    log = tmp_path / "adk.log"
    for turn in (1, 2):  # another server goes on where the first one left off
        with api_server(system, orchestrators_key, log) as url:
            async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as adk:
                sessions = "/apps/clerk/users/ada/sessions"
                if turn == 1:
                    created = await adk.post(f"{sessions}/Ticket 42", json={"lang": "de"})
                    assert created.status_code == 200, log.read_text()
                    assert created.json()["id"] == "Ticket 42"
                said = {"role": "user", "parts": [{"text": "hello"}]}
                body = {"app_name": "clerk", "user_id": "ada", "session_id": "Ticket 42", "new_message": said}
                events = await adk.post("/run", json=body)
                assert events.status_code == 200, log.read_text()
                assert events.json()[-1]["content"]["parts"][0]["text"] == f"turn {turn}, {4 * turn - 1} messages"
                assert [each["id"] for each in (await adk.get(sessions)).json()] == ["Ticket 42"]
        assert orchestrators_key not in log.read_text()
    async with Bureau(system.url, system.key("ada")) as ada:
        view = await ada.sessions.get(bureau_id("clerk", "ada", "Ticket 42"))
        assert (view.session.title, view.session.user_id) == ("Ticket 42", "ada")
        assert (view.session.state["lang"], view.session.state["turns"]) == ("de", 2)
        assert [message.content for message in view.conversation_history if message.content] == [
            "hello", "turn 1, 3 messages", "hello", "turn 2, 7 messages",
        ]  # fmt: skip
        assert view.session.session_id in [session.session_id async for session in ada.sessions.all()]
