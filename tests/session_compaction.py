"""Sessions with much in them, and what tests of their summaries do with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bureau_contracts.sessions import (
    Compacted,
    CompactSession,
    ForkSession,
    Message,
    NewMessage,
    NewSession,
    RewindSession,
    Role,
    ToolCall,
    ToolResult,
)
from kit.identity import Principal
from services.sessions.branching import Branching
from services.sessions.compaction import Compaction
from services.sessions.service import SessionsService
from services.sessions.store import SessionStore
from services.sessions.summariser import Material, Summarised, Summariser
from services.sessions.summariser_extractive import ExtractiveSummariser
from tests.fakes import FixedClock

ANNA, BEN = Principal("acme", "anna"), Principal("acme", "ben")


@dataclass
class Scribe:
    """A summariser that notes what it was given, and writes which messages its text stands for."""

    name: str = "scribe"
    given: list[Material] = field(default_factory=list)

    async def summarise(self, material: Material, tokens: int) -> Summarised:
        self.given.append(material)
        seqs = [message.seq for message in material.messages]
        return Summarised(f"{material.before} {seqs[0]}-{seqs[-1]}".strip(), self.name)

    @property
    def seqs(self) -> list[list[int]]:
        return [[message.seq for message in material.messages] for material in self.given]


class House:
    """One store, and what people do with it."""

    def __init__(self, store: SessionStore, summariser: Summariser | None = None) -> None:
        self.store, self.clock = store, FixedClock()
        self.sessions, self.branching = SessionsService(store, self.clock), Branching(store, self.clock)
        self.compaction = Compaction(store, summariser or ExtractiveSummariser(), self.clock)

    async def create(self, session_id: str = "sess-1", messages: int = 0) -> None:
        await self.sessions.create(ANNA, NewSession(session_id=session_id))
        await self.say(session_id, *talk(messages))

    async def say(self, session_id: str, *messages: NewMessage) -> None:
        for message in messages:
            await self.sessions.add_message(ANNA, session_id, message)

    async def compact(
        self, session_id: str = "sess-1", max_tokens: int = 200, keep_last: int | None = None
    ) -> Compacted:
        return await self.compaction.compact(
            ANNA, session_id, CompactSession(max_tokens=max_tokens, keep_last=keep_last)
        )

    async def covers(self, session_id: str = "sess-1") -> int:
        """Up to which message; 0 when nothing was summarised that is shown."""
        _, summary, _ = await self.store.window(ANNA.reach(), session_id, limit=0)
        return summary.place.last_seq if summary else 0

    async def fork(self, session_id: str, to: str, at_seq: int | None = None) -> None:
        await self.branching.fork(ANNA, session_id, ForkSession(session_id=to, at_seq=at_seq))

    async def rewind(self, session_id: str, to_seq: int) -> None:
        await self.branching.rewind(ANNA, session_id, RewindSession(to_seq=to_seq))


def talk(messages: int, first: int = 1) -> list[NewMessage]:
    """Of about twenty tokens each, by turns."""
    return [
        NewMessage(
            role=Role.USER if number % 2 else Role.ASSISTANT,
            content=f"Message {number} tells that ticket T-{1000 + number} is with Maria Lopez, floor {number % 7}.",
        )
        for number in range(first, first + messages)
    ]


def lookup(number: int) -> list[NewMessage]:
    """A call and its result."""
    call = ToolCall(call_id=f"call-{number}", name="get_ticket", arguments={"id": number})
    result = ToolResult(call_id=call.call_id, name=call.name, result={"id": number, "status": "open", "note": "x" * 80})
    return [
        NewMessage(role=Role.ASSISTANT, tool_calls=[call]),
        NewMessage(role=Role.TOOL, tool_results=[result]),
    ]


def pairs_are_whole(messages: Sequence[Message]) -> bool:
    called = {call.call_id for message in messages for call in message.tool_calls}
    return all(result.call_id in called for message in messages for result in message.tool_results)
