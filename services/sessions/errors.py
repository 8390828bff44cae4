"""What the sessions service refuses, by what happened.

NotFound   404 ├── SessionNotFound     none within the caller's reach; another's is no different from none
               ├── TurnNotFound        the session has no such turn
               ├── BranchNotFound      the session has no such branch
               └── SummaryNotFound     nothing of what the session shows was summarised
Conflict   409 ├── SessionExists       a chosen id is taken
               ├── SessionArchived     it is kept, and read-only
               ├── SessionExpired      it lay idle too long; it can be resumed
               ├── IdempotencyKeyReused  the key stands for another write
               ├── IllegalTransition   this status cannot follow that one
               ├── TurnDiffers         this turn_id was stored with another content
               ├── LeaseHeld           somebody else is the writer; says for how long
               ├── LeaseLost           the lease expired, was released or taken over
               ├── StaleWriter         a turn by somebody who is not the writer (any more)
               └── VersionConflict     a turn made from a version that is not the present one
Invalid    422 └── NoSuchMessage       a step back, or aside, to a message that is not there
TooLarge   413 └── MessageTooLarge     one message is larger than any may be
TooMany    429 ├── TooManyMessages     the user's messages of the last minute; says until when
               └── TooManySessions     the user has as many active sessions as anybody may
"""

from datetime import timedelta

from bureau_contracts.sessions import SessionStatus
from kit.errors import Conflict, Invalid, NotFound, TooLarge, TooMany


class SessionNotFound(NotFound):
    code = "session_not_found"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"no session {session_id}")


class TurnNotFound(NotFound):
    code = "turn_not_found"

    def __init__(self, turn_id: str) -> None:
        super().__init__(f"the session has no turn {turn_id}")


class BranchNotFound(NotFound):
    code = "branch_not_found"

    def __init__(self, branch: int) -> None:
        super().__init__(f"the session has no branch {branch}")


class SummaryNotFound(NotFound):
    code = "summary_not_found"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"nothing of {session_id} was summarised; POST …/compact does it when there is enough")


class NoSuchMessage(Invalid):
    code = "no_such_message"

    def __init__(self, seq: int, message_count: int) -> None:
        super().__init__(f"there is no message {seq}: the branch has {message_count}")


class SessionExists(Conflict):
    code = "session_exists"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"{session_id} exists already; choose another id, or none")


class SessionArchived(Conflict):
    code = "session_archived"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"{session_id} is archived: it can be read or purged, not changed")


class SessionExpired(Conflict):
    code = "session_expired"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"{session_id} expired, as it lay idle for long: POST …/resume makes it active again")


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key stands for another write; a new write needs a new key")


class IllegalTransition(Conflict):
    code = "illegal_transition"

    def __init__(self, current: SessionStatus, wanted: SessionStatus) -> None:
        super().__init__(f"a session that is {current} cannot become {wanted}")


class TurnDiffers(Conflict):
    code = "turn_differs"

    def __init__(self, turn_id: str) -> None:
        super().__init__(f"{turn_id} is stored with another content; a new turn needs a new id")


class LeaseHeld(Conflict):
    code = "lease_held"

    def __init__(self, left: timedelta) -> None:
        super().__init__("another writer holds the session's lease", retry_after=left.total_seconds())


class LeaseLost(Conflict):
    code = "lease_lost"

    def __init__(self) -> None:
        super().__init__("this lease expired, was released or was taken over; acquire a new one")


class StaleWriter(Conflict):
    code = "stale_writer"

    def __init__(self) -> None:
        super().__init__("the turn carries no fencing token of the session's current lease: read the session again")


class TooManyMessages(TooMany):
    code = "too_many_messages"

    def __init__(self, limit: int, used: int, messages: int, retry_after: float) -> None:
        super().__init__(
            f"{limit} messages per minute: {used} were stored in the last minute, and this would add {messages}; "
            f"come back in {retry_after:.0f} s",
            retry_after=retry_after,
        )


class TooManySessions(TooMany):
    code = "too_many_sessions"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} active sessions per user, and the user has that many: archive or purge some", retry_after=60
        )


class MessageTooLarge(TooLarge):
    code = "message_too_large"

    def __init__(self, limit: int, size: int, number: int) -> None:
        super().__init__(f"{limit} bytes of JSON per message: the {number}. of these messages has {size}")


class VersionConflict(Conflict):
    code = "version_conflict"

    def __init__(self, expected: int, present: int) -> None:
        super().__init__(f"the turn was made from version {expected}, the session is at {present}: read it again")
