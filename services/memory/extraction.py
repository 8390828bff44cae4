"""The rules of extraction: which messages are read once, and what their findings do to what is known already."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bureau_contracts.memory import Memory, MemoryPatch, NewMemory, Origin, SupersedeMemory
from bureau_contracts.memory_extraction import Extracted, Extraction, ExtractionAction, ExtractMemories
from bureau_contracts.sessions import Session
from bureau_contracts.shapes import JsonObject
from kit.clock import Clock
from kit.errors import Conflict, Unavailable
from kit.identity import Owner, Principal
from kit.logs import get_logger
from services.memory import filters
from services.memory.conversations import Conversations, said
from services.memory.extraction_log import Conversation, ExtractionLog, Read, first_unread
from services.memory.extractor import Extractor, ExtractorFailed, Finding, Said, is_instructive
from services.memory.service import MemoryNotFound, MemoryService, Wanted
from services.memory.store import SameText, Superseded
from services.memory.wording import normalised

log = get_logger(__name__)

AT_ONCE = 500
"""Messages that one call reads."""
KNOWN, KNOWN_BY_CHARACTERS = 40, 4000
"""Memories that an extractor is shown, and how much of what was said they are found by."""
READINGS = 2
"""Readings of one process at the same time: each holds a connection."""
ATTEMPTS, PAUSE_SECONDS = 40, 0.25
"""How long a call waits for another one that reads the same conversation."""


class ExtractionRunning(Conflict):
    code = "extraction_running"


class NoSessions(Unavailable):
    code = "extraction_not_set_up"


@dataclass(frozen=True, slots=True)
class Readers:
    """`first` reads; `rules` does when it fails."""

    first: Extractor
    rules: Extractor


class Extractions:
    def __init__(
        self, memories: MemoryService, conversations: Conversations | None, readers: Readers, kept: ExtractionLog,
        clock: Clock,
    ) -> None:  # fmt: skip
        """Without `conversations` every call is refused: the service was not told where sessions are."""
        self._memories, self._conversations, self._readers = memories, conversations, readers
        self._log, self._clock = kept, clock
        self._places = asyncio.Semaphore(READINGS)

    async def extract(self, principal: Principal, asked: ExtractMemories) -> Extraction:
        """Reads what was not read yet, or the range that was asked for; a second time it answers as the first time.

        Raises SessionNotFound, NoSessions, SessionsAway, StoreAway, or ExtractionRunning after some seconds.
        """
        if self._conversations is None:
            raise NoSessions("set MEMORY_SESSIONS_URL and BUREAU_IDENTITY_PRIVATE_KEY: messages are read from sessions")
        session = await self._conversations.session(asked.session_id)
        owner = principal.owner(session.user_id)
        conversation = Conversation(owner, session.session_id, session.created_at, asked.tool_results)
        async with self._places:
            for _ in range(ATTEMPTS):
                async with self._log.claim(conversation) as claimed:
                    if claimed:
                        return await self._read(self._conversations, principal, conversation, session, asked)
                await asyncio.sleep(PAUSE_SECONDS)
        raise ExtractionRunning("this conversation is being read by another call: ask again for its answer")

    async def _read(
        self, conversations: Conversations, principal: Principal, conversation: Conversation, session: Session,
        asked: ExtractMemories,
    ) -> Extraction:  # fmt: skip
        readings = await self._log.readings(conversation)
        first = asked.from_seq or first_unread(readings)
        last = min(asked.to_seq or session.message_count, session.message_count)
        end = min(last, first + AT_ONCE - 1)
        if end < first:
            # Whoever lost an answer and asks again gets it once more.
            latest = max(readings, key=lambda read: read.to_seq, default=None) if asked.from_seq is None else None
            if latest is not None:
                return latest.answer.model_copy(update={"repeated": True})
            return Extraction(
                session_id=session.session_id, from_seq=first, to_seq=first - 1, results=[],
                extractor=self._readers.first.name,
            )  # fmt: skip
        messages = said(await conversations.messages(session.session_id, first, end), tool_results=asked.tool_results)
        digest = _digest(messages)
        for read in readings:
            if (read.from_seq, read.to_seq, read.digest) == (first, end, digest):
                return read.answer.model_copy(update={"repeated": True})
        findings, reader, fallback = await self._found(principal, conversation.owner, messages)
        by_seq = {each.seq: each for each in messages}
        results = [await self._settle(principal, conversation, finding, by_seq) for finding in findings]
        answer = Extraction(
            session_id=session.session_id, from_seq=first, to_seq=end, results=results, extractor=reader,
            fallback=fallback, complete=end == last,
        )  # fmt: skip
        await self._log.keep(conversation, Read(first, end, digest, answer), self._clock.now())
        log.info("conversation_read", session_id=session.session_id, messages=len(messages), found=len(findings))
        return answer

    async def _found(
        self, principal: Principal, owner: Owner, messages: Sequence[Said]
    ) -> tuple[list[Finding], str, str]:
        first, rules, fallback = self._readers.first, self._readers.rules, ""
        if not messages:
            return [], first.name, ""
        if first is not rules:
            try:
                return await first.extract(messages, await self._known(principal, owner, messages)), first.name, ""
            except ExtractorFailed as error:
                log.warning("extractor_failed", extractor=first.name, reason=str(error))
                fallback = str(error)
        return await rules.extract(messages, []), rules.name, fallback

    async def _known(self, principal: Principal, owner: Owner, messages: Sequence[Said]) -> list[Memory]:
        text = " ".join(each.text for each in messages)[:KNOWN_BY_CHARACTERS]
        return await self._memories.related(principal, owner.user, text, KNOWN)

    async def _settle(
        self, principal: Principal, conversation: Conversation, finding: Finding, messages: dict[int, Said]
    ) -> Extracted:
        sources = [messages[seq] for seq in finding.seqs if seq in messages]
        by_user = bool(sources) and all(each.origin is Origin.USER for each in sources)
        result = Extracted(
            action=ExtractionAction.IGNORED, kind=finding.kind, origin=Origin.USER if by_user else Origin.TOOL,
            source_seqs=list(finding.seqs),
        )  # fmt: skip
        if not sources:
            return result.model_copy(update={"reason": "not_grounded"})
        if not by_user and (finding.kind in ("preference", "procedure") or is_instructive(finding.text)):
            return result.model_copy(update={"reason": "instruction"})
        if finding.action is ExtractionAction.IGNORED:
            return result.model_copy(update={"reason": "known"})
        said_at = max(each.at for each in sources).isoformat()
        metadata: JsonObject = {"said_at": said_at} | ({"about": finding.about} if finding.about else {})
        change = _Change(principal, conversation, finding, result, metadata)
        old = await self._same_matter(change)
        try:
            return await (self._add(change) if old is None else self._replace(change, old))
        except (SameText, Superseded, MemoryNotFound):  # another call changed it at this moment
            return result.model_copy(update={"reason": "known"})

    async def _same_matter(self, change: "_Change") -> Memory | None:
        """The memory that the finding is about, too."""
        finding, owner = change.finding, change.conversation.owner
        if finding.target is not None:
            memory = await self._memories.get(change.principal, finding.target)
            return memory if (memory.tenant, memory.user_id) == (owner.tenant, owner.user) else None
        if not finding.about:
            return None
        which = Wanted(owner.user, metadata=filters.read({"eq": ["about", finding.about]}))
        found = await self._memories.page(change.principal, which, 10, None)
        return next((memory for memory in found if memory.agent is None), None)

    async def _add(self, change: "_Change") -> Extracted:
        new = NewMemory(
            text=change.finding.text, user_id=change.conversation.owner.user, kind=change.finding.kind,
            session_id=change.conversation.session_id, source_seqs=list(change.finding.seqs),
            metadata=change.metadata, importance=change.finding.importance, origin=change.result.origin,
        )  # fmt: skip
        (stored,) = await self._memories.remember(change.principal, [new])
        if not stored.created:
            return change.result.model_copy(update={"memory_id": stored.memory_id, "reason": "known"})
        return change.did(ExtractionAction.ADDED, stored.memory_id)

    async def _replace(self, change: "_Change", old: Memory) -> Extracted:
        finding, result = change.finding, change.result
        if normalised(old.text) == normalised(finding.text):
            return result.model_copy(update={"memory_id": old.memory_id, "reason": "known"})
        if old.origin is Origin.USER and result.origin is not Origin.USER:
            return result.model_copy(update={"memory_id": old.memory_id, "reason": "weaker_origin"})
        if _was_said_later(old, change):
            return result.model_copy(update={"memory_id": old.memory_id, "reason": "older"})
        more = finding.target is None and _says_more(finding.text, old.text)
        if more or finding.action is ExtractionAction.UPDATED:
            patch = MemoryPatch(text=finding.text, metadata={**old.metadata, **change.metadata})
            await self._memories.update(change.principal, old.memory_id, patch)
            return change.did(ExtractionAction.UPDATED, old.memory_id)
        new = SupersedeMemory(
            text=finding.text, kind=finding.kind, metadata={**old.metadata, **change.metadata},
            importance=finding.importance, origin=result.origin, session_id=change.conversation.session_id,
            source_seqs=list(finding.seqs),
        )  # fmt: skip
        memory = await self._memories.supersede(change.principal, old.memory_id, new)
        return replace(change, replaced=old.memory_id).did(ExtractionAction.SUPERSEDED, memory.memory_id)


@dataclass(frozen=True, slots=True)
class _Change:
    """One finding on its way into the store."""

    principal: Principal
    conversation: Conversation
    finding: Finding
    result: Extracted
    metadata: JsonObject
    replaced: str | None = None

    def did(self, action: ExtractionAction, memory_id: str) -> Extracted:
        return self.result.model_copy(update={"action": action, "memory_id": memory_id, "replaced": self.replaced})


def _was_said_later(old: Memory, change: _Change) -> bool:
    if old.session_id == change.conversation.session_id and old.source_seqs:
        return max(old.source_seqs) > max(change.finding.seqs)
    return str(old.metadata.get("said_at", "")) > str(change.metadata["said_at"])


def _says_more(new: str, old: str) -> bool:
    """The same words, and more after them: "My sister is Ann", "My sister is Ann Miller"."""
    before = normalised(old).rstrip(".").split()
    return normalised(new).rstrip(".").split()[: len(before)] == before


def _digest(messages: Sequence[Said]) -> bytes:
    read = hashlib.blake2b(digest_size=32)
    for each in messages:
        read.update(f"{each.seq}:{each.origin}:{len(each.text)}:{each.text}".encode(errors="surrogatepass"))
    return read.digest()
