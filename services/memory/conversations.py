"""What extraction reads of the sessions service, on its caller's behalf: a session, and messages as something said."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from bureau.errors import BureauError, Refused
from bureau.errors import NotFound as Missing
from bureau_contracts.memory import Origin
from bureau_contracts.sessions import HistoryPage, Message, Role, Session, SessionView
from kit.errors import Forbidden, NotFound, Unavailable
from services.memory.extractor import Said

PAGE = 200
RESULT_CHARACTERS = 8_000


class SessionNotFound(NotFound):
    code = "session_not_found"


class SessionsAway(Unavailable):
    code = "sessions_away"


class Sessions(Protocol):
    """`bureau.sessions.SessionsClient`, as far as it is needed."""

    async def get(self, session_id: str, *, history_limit: int | None = None) -> SessionView: ...

    async def history(
        self, session_id: str, *, before: int | None = None, after: int | None = None, limit: int | None = None
    ) -> HistoryPage: ...


class Conversations:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def session(self, session_id: str) -> Session:
        """Raises SessionNotFound, also when it is not within the caller's reach, or SessionsAway."""
        try:
            return (await self._sessions.get(session_id, history_limit=1)).session
        except BureauError as error:
            raise _refusal(error) from error

    async def messages(self, session_id: str, first: int, last: int) -> list[Message]:
        """Both included, in order."""
        found: list[Message] = []
        after: int | None = first - 1
        try:
            while after is not None and after < last:
                page = await self._sessions.history(session_id, after=after, limit=min(PAGE, last - after))
                found += [message for message in page.messages if message.seq <= last]
                after = page.next_after
        except BureauError as error:
            raise _refusal(error) from error
        return found


def said(messages: Sequence[Message], *, tool_results: bool) -> list[Said]:
    """What users said in these messages and, when asked for, what tools answered."""
    return [each for message in messages for each in _said(message, tool_results)]


def _said(message: Message, tool_results: bool) -> Iterator[Said]:
    if message.role is Role.USER:
        if text := _text(message.content):
            yield Said(message.seq, Origin.USER, text, message.timestamp)
    elif message.role is Role.TOOL and tool_results:
        results = [result.result for result in message.tool_results if result.result is not None]
        text = "\n".join(filter(None, [_text(message.content), *map(_written, results)]))[:RESULT_CHARACTERS]
        if text:
            yield Said(message.seq, Origin.TOOL, text, message.timestamp)


def _text(content: str | list[dict[str, Any]]) -> str:
    """What a person wrote: of typed parts those of text, since files and data are somebody else's words."""
    if isinstance(content, str):
        return content.strip()
    parts = [part.get("text") for part in content if part.get("type") == "text"]
    return "\n".join(part for part in parts if isinstance(part, str)).strip()


def _written(result: Any) -> str:
    if isinstance(result, dict):
        return "\n".join(filter(None, map(_written, result.values())))
    if isinstance(result, list):
        return "\n".join(filter(None, map(_written, result)))
    return result if isinstance(result, str) else json.dumps(result)


def _refusal(error: BureauError) -> Exception:
    if isinstance(error, Missing):
        return SessionNotFound("no session with this ID within your reach")
    if isinstance(error, Refused) and error.status == Forbidden.status:
        return Forbidden(error.detail, code=error.code)
    return SessionsAway(f"the sessions service cannot be asked: {error.code}")
