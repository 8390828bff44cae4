"""The port onto webhooks: ended jobs that somebody is to be told of."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.jobs.records import JobRecord


@dataclass(frozen=True)
class Webhook:
    record: JobRecord
    """The job as it ended; of its steps only the last one's result is there."""
    attempts: int
    """How often it was sent, this time included."""


class Outcome(StrEnum):
    DELIVERED = "delivered"
    RETRY = "retry"
    GIVEN_UP = "given_up"


class Webhooks(Protocol):
    """Promises: each ended job's webhook is due until it is settled; nobody gets one that another has, until that one's
    lease has run out. So it may be sent twice, and is not lost. Raises StoreAway while the store does not answer."""

    async def due(self, lease_seconds: float) -> list[Webhook]:
        """Those to be sent now, a bounded number."""

    async def settle(self, webhook: Webhook, outcome: Outcome, note: str, delay_seconds: float = 0) -> None:
        """Nothing when the job was retried or deleted meanwhile. `delay_seconds` is for a retry."""
