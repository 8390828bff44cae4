"""Google's ADK with its sessions and memories kept in Bureau. Needs the extra: `agent-bureau[adk]`."""

from bureau.adapters.adk.memory import BureauMemoryService
from bureau.adapters.adk.registration import memory_service, register, session_service
from bureau.adapters.adk.service import BureauSessionService

__all__ = ["BureauMemoryService", "BureauSessionService", "memory_service", "register", "session_service"]
