"""The summariser that needs no model: it keeps sentences as they were said and marks the summary as an extract."""

import asyncio

from services.sessions.extracting import extract
from services.sessions.summariser import Material, Summarised, SummariserFailed

NAME = "extractive"


class ExtractiveSummariser:
    name = NAME

    async def summarise(self, material: Material, tokens: int) -> Summarised:
        # In a thread: some hundred sentences take a noticeable part of a second.
        text = await asyncio.to_thread(extract, material.before, material.messages, tokens)
        if not text:
            raise SummariserFailed(f"not one sentence fits into {tokens} tokens")
        return Summarised(text, NAME)
