"""`python -m benchmarks.memory_quality`: how often the right memory is found, by embedder and kind of search.

A set of 64 memories and 80 questions written by hand (`memory_quality_data.py`): small, so a question is 2.5 %.
"""

import argparse
import asyncio
from importlib.util import find_spec

import structlog

from benchmarks.memory_quality_data import MEMORIES, PARAPHRASE, WORDS
from bureau_contracts.memory import NewMemory, SearchMode
from kit.clock import SystemClock
from kit.identity import Principal
from services.memory.embedder import Embedder
from services.memory.embedder_hashed import HashedEmbedder
from services.memory.service import Look, MemoryService, Wanted
from services.memory.store_memory import InMemoryStore
from services.memory.usage import UsageCounts
from services.memory.vectors import Vectors

USER = Principal("acme", "annika")
K = 10


def embedders() -> list[Embedder]:
    found: list[Embedder] = [HashedEmbedder()]
    if find_spec("tokenizers") and find_spec("numpy"):
        from services.memory.embedder_sentence import SentenceEmbedder  # an extra

        found.append(SentenceEmbedder())
    return found


async def filled(embedder: Embedder) -> tuple[MemoryService, dict[str, str]]:
    """With the memories' names by ID."""
    clock, store = SystemClock(), InMemoryStore(embedder.name)
    service = MemoryService(store, Vectors(embedder), UsageCounts(store, clock), clock)
    stored = await service.remember(USER, [NewMemory(text=text) for text in MEMORIES.values()])
    return service, {each.memory_id: name for each, name in zip(stored, MEMORIES, strict=True)}


async def places(
    service: MemoryService, names: dict[str, str], questions: list[tuple[str, str]], mode: SearchMode
) -> list[int | None]:
    """At which place each question's answer was found, from 1."""
    found: list[int | None] = []
    for question, answer in questions:
        hits = (await service.search(USER, Wanted(), Look(question, k=K, mode=mode))).hits
        ranked = [names[hit.memory.memory_id] for hit in hits]
        found.append(ranked.index(answer) + 1 if answer in ranked else None)
    return found


def figures(found: list[int | None]) -> str:
    first = sum(place == 1 for place in found) / len(found)
    fifth = sum(place is not None and place <= 5 for place in found) / len(found)
    reciprocal = sum(1 / place for place in found if place) / len(found)
    return f"{first:.2f} | {fifth:.2f} | {reciprocal:.2f}"


async def measure() -> None:
    print("| embedder | search | words: hit@1 | hit@5 | MRR | paraphrase: hit@1 | hit@5 | MRR |")
    print("|---|---|---|---|---|---|---|---|")
    for embedder in embedders():
        service, names = await filled(embedder)
        for mode in SearchMode:
            kinds = [figures(await places(service, names, asked, mode)) for asked in (WORDS, PARAPHRASE)]
            print(f"| {embedder.name} | {mode} | {' | '.join(kinds)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    asyncio.run(measure())
