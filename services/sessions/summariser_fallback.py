"""A summariser that asks another one when the first fails, and says so in what it makes."""

from kit.logs import get_logger
from services.sessions.summariser import Material, Summarised, Summariser, SummariserFailed

log = get_logger(__name__)


class SummariserWithFallback:
    def __init__(self, first: Summariser, second: Summariser) -> None:
        self._first, self._second = first, second
        self.name = first.name

    async def summarise(self, material: Material, tokens: int) -> Summarised:
        try:
            return await self._first.summarise(material, tokens)
        except SummariserFailed as failure:
            log.warning("summariser_failed", summariser=self._first.name, reason=str(failure))
            made = await self._second.summarise(material, tokens)
            return Summarised(made.text, f"{made.made_by} ({self._first.name} failed: {failure})")
