"""Google's ADK with its sessions kept in Bureau. Needs the extra: `agent-bureau[adk]`."""

from bureau.adapters.adk.registration import register, session_service
from bureau.adapters.adk.service import BureauSessionService

__all__ = ["BureauSessionService", "register", "session_service"]
