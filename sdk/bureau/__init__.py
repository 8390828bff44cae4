"""Bureau, the back office for AI agents: its client."""

from bureau.client import Bureau

__all__ = ["Bureau"]
