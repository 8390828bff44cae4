"""What is kept of a session, and what a change of it consists of. Values only: no rule, no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from bureau_contracts.sessions import Context, Invocation, Lease, Lifecycle, Message, Session, SessionStatus, TurnStored
from bureau_contracts.shapes import JsonObject
from kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Segment:
    """Messages that a session shows and does not write to: of a branch, up to this one, from where the segment before
    ends."""

    session_id: str
    branch: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as the store keeps it, without its messages."""

    session: Session
    context: Context
    invocation_count: int = 0
    last_fencing_token: int = 0
    """Of the lease that was given out last, 0 before the first."""
    lease: Lease | None = None
    """The lease given out last, until it is released or lost; it may have expired."""
    incarnation: str = field(default_factory=partial(new_id, "life"), compare=False)
    """Another one for every session that is created, also under the id of one that was purged; greater ones are later.
    "" when the session is older than this number."""
    lineage: tuple[Segment, ...] = ()
    """What the session shows before its own branch, in order. Empty when it was never forked nor rewound."""
    shared: JsonObject = field(default_factory=dict, compare=False)
    """State that is seen in the session and belongs to its user or its tenant. Read only; see `Write.shared`."""


@dataclass(frozen=True, slots=True)
class LeftBranch:
    """What a session showed until a rewind."""

    branch: int
    lineage: tuple[Segment, ...]
    message_count: int
    left_at: datetime
    state: JsonObject
    context: Context
    """Both as they were when it was left."""


@dataclass(frozen=True, slots=True)
class Undo:
    """What a change of state and context replaced, so that a step back can bring it back."""

    at_seq: int
    """The message count after the change."""
    state: JsonObject
    """The values that changed keys had; None where there was none."""
    context: Context | None
    """None when the context did not change."""


@dataclass(frozen=True, slots=True)
class SummaryPlace:
    """Where the last message stands that a summary covers; that says what all of them are."""

    session_id: str
    branch: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class StoredSummary:
    """What stands, in a model's context, for the messages 1 … last_seq of every session that shows that place."""

    place: SummaryPlace
    digest: str
    """Of what it covers."""
    built_on_seq: int
    built_on_digest: str
    """Of the summary that it contains; 0 and "" for the first."""
    text: str
    made_by: str
    tokens_before: int
    """Of the messages that it covers."""
    tokens_after: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn that was stored, and what its caller was answered."""

    turn_id: str
    digest: str
    """Of its content: the same id with another content is refused."""
    answer: TurnStored
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a write was done under a key, and what its caller was answered. Stands among the session's turns."""

    name: str
    digest: str
    """Of what was asked for."""
    answer: str
    """JSON."""
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class SharedState:
    """Changes of state that is not a session's own: keys to set, None to delete one."""

    user: JsonObject
    """Of the session's user."""
    app: JsonObject
    """Of its tenant."""


@dataclass(frozen=True, slots=True)
class Current:
    """What a decision is made from, while nobody else can change the session."""

    record: SessionRecord
    turn: StoredTurn | None = None
    """The turn that the change is about, when it is stored already."""
    undos: Sequence[Undo] = ()
    """Those that were asked for, the newest first."""
    left: LeftBranch | None = None
    """The branch that was asked for, when it is one that was left."""
    summary: StoredSummary | None = None
    """The last one that applies to what the session shows, when it was asked for."""
    receipt: Receipt | None = None
    """The one that was asked for, when there is one already."""


@dataclass(frozen=True, slots=True)
class Write:
    """What a decision changes: all of it is stored, or nothing."""

    record: SessionRecord
    """The session afterwards."""
    messages: Sequence[Message] = ()
    invocations: Sequence[Invocation] = ()
    turn: StoredTurn | None = None
    undo: Undo | None = None
    left: LeftBranch | None = None
    """The branch that the session shows no longer."""
    created: SessionRecord | None = None
    """Another session that begins with this change. Raises SessionExists when its id is taken."""
    created_undo: Undo | None = None
    """On the branch that session writes to."""
    summary: StoredSummary | None = None
    """Replaces one of the same place."""
    discarded: SummaryPlace | None = None
    """Of a summary that is to go."""
    receipt: Receipt | None = None
    shared: SharedState | None = None
    """Merged into what there is at that moment, key by key: other sessions write to the same."""


@dataclass(frozen=True, slots=True)
class Grown:
    """A session that may have much to summarise."""

    tenant: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the list of sessions, which is ordered by these two, greatest first."""

    last_activity: datetime
    session_id: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Which sessions a list shows. What is None says nothing."""

    lifecycle: Lifecycle = Lifecycle.ACTIVE
    status: SessionStatus | None = None
    agent: str | None = None
    """Took part: wrote a message, or was asked."""
    since: datetime | None = None
    """Of the last activity, inclusive."""
    until: datetime | None = None
    """Of the last activity, exclusive."""
