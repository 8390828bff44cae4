"""Bad input gets a problem document, and nothing is changed by it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from bureau import Bureau
from bureau_contracts.problems import Problem
from examples.demo.system import System

MEGABYTE = 1024 * 1024


async def things(ada: Bureau) -> tuple[int, int, int]:
    sessions = [session.message_count async for session in ada.sessions.all()]
    jobs = await ada.jobs.page(limit=200)
    return len(sessions), sum(sessions), len(jobs.jobs)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/agent/chat", b"{", 400, "malformed_json"),
        ("POST", "/agent/chat", b'{"message": "a", "message": "b"}', 400, "malformed_json"),
        ("POST", "/agent/chat", b'{"message": "\xff"}', 400, "malformed_json"),
        ("POST", "/agent/chat", b'{"message": 5}', 422, "invalid"),
        ("POST", "/agent/chat", b'{"message": ""}', 422, "invalid"),
        ("POST", "/agent/chat", b'{"message": "a", "mesage": "b"}', 422, "invalid"),
        ("POST", "/agent/chat", b'{"message": "a", "agent": "nobody"}', 404, "agent_not_found"),
        ("POST", "/agent/chat", b'{"message": "a", "session_id": "sess-0"}', 404, "session_not_found"),
        ("POST", "/agent/chat", b'{"message": "a", "session_id": "../x"}', 422, "invalid"),
        ("POST", "/sessions", b'{"title": 1}', 422, "invalid"),
        ("POST", "/sessions", b"[1]", 422, "invalid"),
        ("GET", "/sessions/sess-0", b"", 404, "session_not_found"),
        ("GET", "/sessions/%00", b"", 400, "bad_target"),
        ("GET", "/sessions?limit=0", b"", 422, "invalid"),
        ("GET", "/sessions?cursor=zzz", b"", 422, "invalid_cursor"),
        ("GET", "/registry/agents/nobody", b"", 404, "agent_not_found"),
        ("POST", "/memory", b'{"text": ""}', 422, "invalid"),
        ("DELETE", "/memory", b"", 422, "invalid"),
        ("GET", "/memory/search", b"", 422, "invalid"),
        ("POST", "/jobs/start", b'{"title": "t", "steps": []}', 422, "invalid"),
        ("POST", "/jobs/start", b'{"title": "t", "steps": [{"name": "a", "kind": "dance"}]}', 422, "invalid"),
        ("GET", "/jobs/job-0", b"", 404, "job_not_found"),
        ("GET", "/nowhere", b"", 404, "no_route"),
        ("DELETE", "/agent/chat", b"", 405, "method_not_allowed"),
    ],
)
async def test_bad_input_is_a_problem_and_changes_nothing(
    raw: httpx.AsyncClient, ada: Bureau, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    before = await things(ada)
    headers = {"content-type": "application/json"} if body else {}
    response = await raw.request(method, path, content=body, headers=headers)
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(response.content)
    assert (response.status_code, problem.status, problem.code) == (status, status, code)
    assert problem.trace_id == response.headers["x-trace-id"]
    assert await things(ada) == before


async def test_a_hundred_megabytes_are_refused_at_once(system: System, ada_key: str, ada: Bureau) -> None:
    """Declared or not, the body is not read to its end."""
    before = await things(ada)
    port = httpx.URL(system.url).port
    head = (
        f"POST /sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada_key}\r\n"
        "Content-Type: application/json\r\n"
    )  # fmt: skip
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}Content-Length: {100 * MEGABYTE}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        status = await reader.readline()
    writer.close()
    assert status.split()[1] == b"413"

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * MEGABYTE

    async with httpx.AsyncClient(base_url=system.url, trust_env=False, timeout=20) as client:
        headers = {"authorization": f"Bearer {ada_key}", "content-type": "application/json"}
        try:
            response = await client.post("/sessions", content=endless(), headers=headers)
        except (httpx.WriteError, httpx.ReadError):
            pass  # the server closed the connection while we were still sending: that is a refusal too
        else:
            assert response.status_code == 413
            assert Problem.model_validate_json(response.content).code == "too_large"
    assert await things(ada) == before
