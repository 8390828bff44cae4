"""What a user may use up of the service, checked before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bureau_contracts.sessions import NewMessage
from kit.identity import Owner, Principal, Reach
from services.sessions.errors import MessageTooLarge, TooManyMessages, TooManySessions
from services.sessions.rates import LocalMessageRates, MessageRates
from services.sessions.record import Listing
from services.sessions.store import SessionStore


@dataclass(frozen=True, slots=True)
class Limits:
    """A limit of 0 is none."""

    messages_per_minute: int = 0
    rates: MessageRates = field(default_factory=LocalMessageRates)
    sessions_per_user: int = 0
    """Active ones."""
    message_bytes: int = 0
    """Of JSON."""

    async def take_messages(self, principal: Principal, messages: int) -> None:
        """Counts them as the caller's. Raises TooManyMessages."""
        limit = self.messages_per_minute
        if limit == 0 or messages == 0:
            return
        full = await self.rates.take(Owner(principal.tenant, principal.subject), messages, limit)
        if full is not None:
            raise TooManyMessages(limit, full.used, messages, full.retry_after)

    def check_sizes(self, messages: Sequence[NewMessage]) -> None:
        """Raises MessageTooLarge."""
        if not self.message_bytes:
            return
        for number, message in enumerate(messages, start=1):
            size = len(message.model_dump_json(exclude_defaults=True).encode())
            if size > self.message_bytes:
                raise MessageTooLarge(self.message_bytes, size, number)

    async def check_room(self, store: SessionStore, owner: Owner) -> None:
        """For one more active session. Raises TooManySessions. Those who come together may each find the last room."""
        limit = self.sessions_per_user
        if limit and await store.count(Reach(owner.tenant, owner.user), Listing(), limit=limit) >= limit:
            raise TooManySessions(limit)
