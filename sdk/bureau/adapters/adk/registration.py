"""How `adk web` and `adk api_server` find Bureau by the URI they are given."""

from google.adk.cli.service_registry import get_service_registry

from bureau.adapters.adk.memory import BureauMemoryService
from bureau.adapters.adk.service import BureauSessionService
from bureau.adapters.adk.settings import SCHEMES, address_of
from bureau.client import Bureau


def session_service(uri: str, **_: object) -> BureauSessionService:
    """The service of a `bureau://host:port`; what else ADK says (the folder of the agents) does not matter.

    Raises ValueError or `bureau.cli.settings.NotConfigured`.
    """
    address = address_of(uri)
    return BureauSessionService(Bureau(address.url, address.api_key))


def memory_service(uri: str, **_: object) -> BureauMemoryService:
    """As `session_service`, for memories."""
    address = address_of(uri)
    return BureauMemoryService(Bureau(address.url, address.api_key))


def register() -> None:
    """Makes `--session_service_uri bureau://…` and `--memory_service_uri bureau://…` known to ADK.

    `services.py` in the folder of the agents calls this.
    """
    registry = get_service_registry()
    for scheme in SCHEMES:
        registry.register_session_service(scheme, session_service)
        registry.register_memory_service(scheme, memory_service)
