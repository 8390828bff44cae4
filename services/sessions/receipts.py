"""Receipts of idempotency keys: a write is done once, whoever sends it again gets the first answer. Rules.

A key stands for one write to one session: its receipt is stored there, in the write's own transaction. A refusal leaves
none, so what was refused can be tried again under the same key.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from kit.identity import Owner, Reach
from services.sessions.errors import IdempotencyKeyReused
from services.sessions.record import Current, Receipt, Write
from services.sessions.store import SessionStore

A = TypeVar("A", bound=BaseModel)

KEPT = timedelta(hours=24)
"""A receipt is kept at least so long."""


@dataclass(frozen=True, slots=True)
class Once:
    """A caller's wish that a write happen once."""

    key: str
    digest: str
    """Of the operation and its content: the same key with another one is refused."""

    @property
    def name(self) -> str:
        """Under which the receipt stands in the session. No turn's id looks so."""
        return f"key:{self.key}"


def digest_of(method: str, path: str, query: str, body: Any) -> str:
    """The same for the same request; `body` is parsed JSON, in which the order of keys says nothing."""
    return hashlib.sha256(json.dumps([method, path, query, body], sort_keys=True).encode()).hexdigest()


def name_of(once: Once | None) -> str | None:
    return once.name if once else None


def receipt(once: Once, answer: BaseModel, now: datetime) -> Receipt:
    return Receipt(once.name, once.digest, answer.model_dump_json(), now)


def first_answer(kept: Receipt, once: Once, answer: type[A]) -> A:
    """Raises IdempotencyKeyReused when the key stands for something else."""
    if kept.digest != once.digest:
        raise IdempotencyKeyReused
    return answer.model_validate_json(kept.answer)


def only_once(
    once: Once | None,
    answer: type[A],
    decide: Callable[[Current], tuple[A, Write | None]],
    now: Callable[[], datetime],
) -> Callable[[Current], tuple[A, Write | None]]:
    """A decision that is made the first time, and repeated from its receipt ever after. Needs `Current.receipt`."""
    if once is None:
        return decide
    wanted = once

    def decide_once(current: Current) -> tuple[A, Write | None]:
        if current.receipt is not None:
            return first_answer(current.receipt, wanted, answer), None
        made, write = decide(current)
        return made, replace(write or Write(current.record), receipt=receipt(wanted, made, now()))

    return decide_once


def session_id_for(owner: Owner, key: str) -> str:
    """The id of a session that is created under a key: the same every time, so that the session holds the receipt."""
    name = json.dumps([owner.tenant, owner.user, key])
    return f"sess-{hashlib.sha256(name.encode()).hexdigest()[:40]}"


async def repeated(store: SessionStore, reach: Reach, session_id: str, once: Once | None, answer: type[A]) -> A | None:
    """The first answer, when the write was done already: limits are for new writes. Raises IdempotencyKeyReused."""
    kept = await store.receipt(reach, session_id, once.name) if once else None
    return first_answer(kept, once, answer) if kept and once else None
