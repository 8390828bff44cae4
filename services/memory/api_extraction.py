"""The route of extraction."""

from typing import Annotated

from fastapi import Depends, Request

from bureau_contracts.memory_extraction import Extraction, ExtractMemories
from kit.web import PrincipalDep, router
from services.memory.extraction import Extractions

routes = router("/memory", "memory")


def _extractions(request: Request) -> Extractions:
    extractions: Extractions = request.app.state.extractions
    return extractions


ExtractionsDep = Annotated[Extractions, Depends(_extractions)]


@routes.post("/extract")
async def extract(principal: PrincipalDep, extractions: ExtractionsDep, body: ExtractMemories) -> Extraction:
    """Turns messages of a session that were not read yet into memories of its user.

    Safe to repeat: the same messages are read once, by however many callers, and a repeated call answers as the first.
    404 `session_not_found`; 409 `extraction_running`; 503 `extraction_not_set_up` without a sessions service.
    """
    return await extractions.extract(principal, body)
