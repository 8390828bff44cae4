"""What a user may use up of the service, checked before anything is written."""

from dataclasses import dataclass, field

from kit.identity import Owner, Principal
from services.sessions.errors import TooManyMessages
from services.sessions.rates import LocalMessageRates, MessageRates


@dataclass(frozen=True, slots=True)
class Limits:
    """A limit of 0 is none."""

    messages_per_minute: int = 0
    rates: MessageRates = field(default_factory=LocalMessageRates)

    async def take_messages(self, principal: Principal, messages: int) -> None:
        """Counts them as the caller's. Raises TooManyMessages."""
        limit = self.messages_per_minute
        if limit == 0 or messages == 0:
            return
        full = await self.rates.take(Owner(principal.tenant, principal.subject), messages, limit)
        if full is not None:
            raise TooManyMessages(limit, full.used, messages, full.retry_after)
