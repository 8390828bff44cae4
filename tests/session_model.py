"""What sessions do, said as plainly as possible: no branch shares anything, whatever is forked or left is copied."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bureau_contracts.sessions import Context, NewTurn, TurnStored
from bureau_contracts.shapes import JsonObject
from kit.identity import TENANT_WIDE, Principal
from services.sessions.errors import (
    BranchNotFound,
    IdempotencyKeyReused,
    LeaseHeld,
    LeaseLost,
    NoSuchMessage,
    SessionArchived,
    SessionExists,
    SessionExpired,
    StaleWriter,
    TurnDiffers,
    VersionConflict,
)

IDLE = timedelta(minutes=5)
"""A session that lies idle for so long has expired."""

Refusal = type[Exception] | None
"""What an attempt is refused with; None when it is not."""


@dataclass(frozen=True)
class Path:
    """Messages, and the state and context that there were when there were 0, 1, 2 … of them."""

    texts: tuple[str, ...] = ()
    points: tuple[tuple[JsonObject, Context], ...] = (({}, Context()),)

    @property
    def state(self) -> JsonObject:
        return self.points[-1][0]

    @property
    def context(self) -> Context:
        return self.points[-1][1]

    def until(self, seq: int) -> "Path":
        return Path(self.texts[:seq], self.points[: seq + 1])

    def after(self, texts: list[str], state: JsonObject | None = None, context: Context | None = None) -> "Path":
        now = (_changed(self.state, state or {}), context or self.context)
        if not texts:
            return replace(self, points=(*self.points[:-1], now))
        between = (self.points[-1],) * (len(texts) - 1)
        return Path((*self.texts, *texts), (*self.points, *between, now))


@dataclass
class Lease:
    holder: str
    token: int
    expires_at: datetime


@dataclass
class ModelSession:
    user: str
    path: Path
    branch: int
    updated_at: datetime
    last_activity: datetime
    version: int = 1
    left: dict[int, Path] = field(default_factory=dict)
    turns: dict[str, tuple[NewTurn, TurnStored]] = field(default_factory=dict)
    lease: Lease | None = None
    last_token: int = 0
    receipts: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By key: what was done under it, and the answer."""
    archived: bool = False
    noted_as_expired: bool = False
    """So that no clock that jumps back makes it active again."""

    def on(self, branch: int | None) -> Path | None:
        return self.path if branch in (None, self.branch) else self.left.get(branch or 0)

    def change(self, now: datetime, path: Path | None = None, *, active: bool = True) -> None:
        self.path = path or self.path
        self.version += 1
        self.updated_at = max(now, self.updated_at)
        if active:
            self.last_activity = self.updated_at

    def is_expired(self, now: datetime) -> bool:
        return not self.archived and (self.noted_as_expired or self.last_activity + IDLE <= now)

    def is_held(self, now: datetime) -> bool:
        return self.lease is not None and now < self.lease.expires_at

    def refuses_write(self, now: datetime) -> Refusal:
        if self.archived:
            return SessionArchived
        return SessionExpired if self.is_expired(now) else None

    def refuses_writer(self, token: int | None, now: datetime) -> Refusal:
        if refusal := self.refuses_write(now):
            return refusal
        own = self.lease is not None and token == self.lease.token
        return None if own or (token is None and not self.is_held(now)) else StaleWriter

    def refuses_turn(self, turn: NewTurn, now: datetime) -> Refusal:
        if turn.turn_id in self.turns:
            return None if same_content(self.turns[turn.turn_id][0], turn) else TurnDiffers
        if refusal := self.refuses_writer(turn.fencing_token, now):
            return refusal
        return None if turn.expected_version in (None, self.version) else VersionConflict

    def refuses_rewind(self, to_seq: int, token: int | None, now: datetime) -> Refusal:
        return self.refuses_writer(token, now) or (NoSuchMessage if to_seq > len(self.path.texts) else None)

    def refuses_fork(self, at_seq: int | None, branch: int | None) -> Refusal:
        path = self.on(branch)
        if path is None:
            return BranchNotFound
        return NoSuchMessage if at_seq is not None and at_seq > len(path.texts) else None

    def refuses_lease(self, holder: str, now: datetime) -> Refusal:
        held = self.lease is not None and self.lease.holder != holder and self.is_held(now)
        return self.refuses_write(now) or (LeaseHeld if held else None)

    def refuses_renewal(self, token: int, now: datetime) -> Refusal:
        return self.refuses_write(now) or self.refuses_release(token) or (None if self.is_held(now) else LeaseLost)

    def refuses_release(self, token: int) -> Refusal:
        return None if self.lease is not None and self.lease.token == token else LeaseLost

    def refuses_key(self, key: str, doing: str) -> Refusal:
        return IdempotencyKeyReused if key in self.receipts and self.receipts[key][0] != doing else None

    def admit(self, token: int | None) -> None:
        """Who writes without a token ends a lease that nobody holds."""
        if token is None:
            self.lease = None

    def rewind(self, to_seq: int, token: int | None, now: datetime) -> None:
        if to_seq < len(self.path.texts):
            self.admit(token)
            self.left[self.branch] = self.path
            self.branch += 1
            self.change(now, self.path.until(to_seq))

    def texts(self) -> set[str]:
        """On all of its branches."""
        return {text for path in (self.path, *self.left.values()) for text in path.texts}


@dataclass
class ModelSessions:
    kept: dict[tuple[str, str], ModelSession] = field(default_factory=dict)
    """By tenant and session id."""

    def find(self, principal: Principal, session_id: str) -> ModelSession | None:
        found = self.kept.get((principal.tenant, session_id))
        return found if found is not None and _reaches(principal, found) else None

    def refuses_id(self, tenant: str, session_id: str) -> Refusal:
        return SessionExists if (tenant, session_id) in self.kept else None

    def shown_to(self, principal: Principal) -> dict[str, ModelSession]:
        return {
            session_id: session
            for (tenant, session_id), session in self.kept.items()
            if tenant == principal.tenant and _reaches(principal, session)
        }

    def texts(self, tenant: str) -> set[str]:
        kept = (session for (place, _), session in self.kept.items() if place == tenant)
        return {text for session in kept for text in session.texts()}


def _reaches(principal: Principal, session: ModelSession) -> bool:
    return TENANT_WIDE in principal.scopes or principal.subject == session.user


def same_content(one: NewTurn, other: NewTurn) -> bool:
    guards = {"fencing_token", "expected_version"}
    return one.model_dump(exclude=guards) == other.model_dump(exclude=guards)


def _changed(state: JsonObject, changes: JsonObject) -> JsonObject:
    both = {**state, **changes}
    return {key: value for key, value in both.items() if value is not None and not key.startswith("temp:")}
