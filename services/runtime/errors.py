"""What the runtime refuses by itself, and how other services' failures are passed on.

Refusal
├── Forbidden     approval_needed, tool_not_allowed
├── NotFound      session_not_found, agent_not_found, tool_not_found
├── Conflict      session_busy, session_archived, agent_disabled, agent_unavailable, turn_differs, tool_disabled,
│                 tool_unusable
├── Invalid       arguments_invalid, agent_differs
└── Unavailable   another service that a turn needs is away; tools_not_listed
"""

from bureau.errors import BureauError
from kit import errors
from kit.errors import Conflict, Forbidden, Invalid, NotFound, Refusal, Unavailable

_PASSED_ON: dict[int, type[Refusal]] = {
    kind.status: kind
    for kind in (
        errors.BadRequest, errors.Forbidden, NotFound, Conflict, errors.PreconditionFailed, errors.TooLarge,
        errors.Invalid, errors.TooMany,
    )
}  # fmt: skip


class SessionNotFound(NotFound):
    code = "session_not_found"


class SessionBusy(Conflict):
    code = "session_busy"


class SessionArchived(Conflict):
    code = "session_archived"


class AgentNotFound(NotFound):
    code = "agent_not_found"


class AgentDisabled(Conflict):
    code = "agent_disabled"


class AgentUnavailable(Conflict):
    code = "agent_unavailable"


class TurnDiffers(Conflict):
    code = "turn_differs"


class ApprovalNeeded(Forbidden):
    """The call is above the autonomy level; somebody who may has to decide."""

    code = "approval_needed"


class ToolNotAllowed(Forbidden):
    """The agent's allow-list does not name it."""

    code = "tool_not_allowed"


class ToolNotFound(NotFound):
    code = "tool_not_found"


class ToolDisabled(Conflict):
    code = "tool_disabled"


class ToolUnusable(Conflict):
    """Its schema cannot be checked."""

    code = "tool_unusable"


class ToolsNotListed(Unavailable):
    """The registry has not yet heard from the source what it offers."""

    code = "tools_not_listed"


class ArgumentsInvalid(Invalid):
    code = "arguments_invalid"


class AgentDiffers(Invalid):
    """The body names one agent and the tool's name another."""

    code = "agent_differs"


def passed_on(error: Exception) -> Refusal:
    """A 4xx of another service is the caller's, as it stands; anything else means that the service is away."""
    assert isinstance(error, BureauError)
    kind = _PASSED_ON.get(error.status)
    if kind is None:
        return Unavailable(f"a service that this needs is away: {error.code}", retry_after=error.retry_after or 1.0)
    return kind(error.detail, code=error.code, retry_after=error.retry_after, errors=error.problem.errors)
