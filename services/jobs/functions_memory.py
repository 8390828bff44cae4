"""The function `memory.extract`: conversations of a job's owner become memories. Offered by workers whose
JOBS_FUNCTION_MODULES names this module; `make up` does. May be repeated: each message is read once."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

from bureau.errors import BureauError, Conflict, TooMany, Unavailable
from bureau.http import Caller
from bureau.memory import MemoryClient
from bureau.sessions import SessionsClient
from bureau_contracts.memory_extraction import Extraction
from kit.http_client import service_http
from kit.identity import PrincipalSigner
from services.jobs.functions import step_function
from services.jobs.settings import Settings
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed, TryLater

PAGE = 100


@step_function("memory.extract")
async def extract(
    context: StepContext, *, session_id: str = "", days: float = 1, tool_results: bool = False
) -> dict[str, object]:
    """One session, or without its ID every session that was active in the last `days`; how many memories came of it.
    Goes on behind the sessions that it had read when it stopped."""
    done: list[str] = list(context.state or [])
    counts = dict.fromkeys(("messages", "added", "updated", "superseded", "ignored"), 0)
    async with AsyncExitStack() as opened:
        memory, sessions = await _clients(opened)
        try:
            async for each in _sessions(sessions, session_id, days):
                if each not in done:
                    await _read_all(memory, each, tool_results, counts)
                    done.append(each)
                    await context.checkpoint(done, note=each)
        except BureauError as error:
            raise _failure(error) from error
    return {"sessions": len(done), **counts}


async def _clients(opened: AsyncExitStack) -> tuple[MemoryClient, SessionsClient]:
    """On behalf of whom the step acts for. One attempt: a step's attempts are the one layer that retries."""
    settings = Settings.from_environment()
    signer = PrincipalSigner(settings.common.identity_private_key.get_secret_value(), issuer="jobs")
    memory = service_http(settings.memory_url, audience="memory", signer=signer)
    sessions = service_http(settings.sessions_url, audience="sessions", signer=signer)
    return (
        MemoryClient(Caller(await opened.enter_async_context(memory), attempts=1)),
        SessionsClient(Caller(await opened.enter_async_context(sessions), attempts=1)),
    )


async def _sessions(sessions: SessionsClient, session_id: str, days: float) -> AsyncIterator[str]:
    if session_id:
        yield session_id
        return
    since, cursor = datetime.now(UTC) - timedelta(days=days), None
    while True:
        page = await sessions.page(since=since, limit=PAGE, cursor=cursor)
        for session in page.sessions:
            yield session.session_id
        cursor = page.next_cursor
        if cursor is None:
            return


async def _read_all(memory: MemoryClient, session_id: str, tool_results: bool, counts: dict[str, int]) -> None:
    complete = False
    while not complete:
        found: Extraction = await memory.extract(session_id, tool_results=tool_results)
        complete = found.complete
        if not found.repeated:
            counts["messages"] += max(0, found.to_seq - found.from_seq + 1)
            for result in found.results:
                counts[result.action] += 1


def _failure(error: BureauError) -> StepFailed:
    if isinstance(error, TooMany | Conflict) or (isinstance(error, Unavailable) and error.status == 503):
        return TryLater(str(error), retry_after=error.retry_after)
    return OutcomeUnknown(str(error)) if isinstance(error, Unavailable) else StepFailed(str(error))
