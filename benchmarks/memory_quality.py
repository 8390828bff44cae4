"""`python -m benchmarks.memory_quality`: how often the right memory is found, by embedder and kind of search.

A set of 64 memories and 80 questions written by hand (`memory_quality_data.py`): small, so a question is 2.5 %.
"""

import argparse
import asyncio
import tempfile
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import structlog

from benchmarks.memory_quality_data import MEMORIES, PARAPHRASE, WORDS
from bureau_contracts.memory import NewMemory, SearchMode
from deploy.local.postgres import EmbeddedPostgres
from kit.clock import SystemClock
from kit.identity import Principal
from services.memory.embedder import Embedder
from services.memory.embedder_hashed import HashedEmbedder
from services.memory.pgvector import Options
from services.memory.service import Look, MemoryService, Wanted
from services.memory.store_pgvector import PgvectorStore
from services.memory.usage import UsageCounts
from services.memory.vectors import Vectors

K = 10
LANGUAGES = ("simple", "english")


def embedders() -> list[Embedder]:
    found: list[Embedder] = [HashedEmbedder()]
    if find_spec("tokenizers") and find_spec("numpy"):
        from services.memory.embedder_sentence import SentenceEmbedder  # an extra

        found.append(SentenceEmbedder())
    return found


async def filled(store: PgvectorStore, embedder: Embedder, user: Principal) -> tuple[MemoryService, dict[str, str]]:
    """With the memories' names by ID."""
    clock = SystemClock()
    service = MemoryService(store, Vectors(embedder), UsageCounts(store, clock), clock)
    stored = await service.remember(user, [NewMemory(text=text) for text in MEMORIES.values()])
    return service, {each.memory_id: name for each, name in zip(stored, MEMORIES, strict=True)}


async def places(
    service: MemoryService, user: Principal, names: dict[str, str], questions: list[tuple[str, str]], mode: SearchMode
) -> list[int | None]:
    """At which place each question's answer was found, from 1."""
    found: list[int | None] = []
    for question, answer in questions:
        answered = await service.search(user, Wanted(), Look(question, k=K, mode=mode))
        assert not answered.degraded
        ranked = [names[hit.memory.memory_id] for hit in answered.hits]
        found.append(ranked.index(answer) + 1 if answer in ranked else None)
    return found


def figures(found: list[int | None]) -> str:
    first = sum(place == 1 for place in found) / len(found)
    fifth = sum(place is not None and place <= 5 for place in found) / len(found)
    reciprocal = sum(1 / place for place in found if place) / len(found)
    return f"{first:.2f} | {fifth:.2f} | {reciprocal:.2f}"


async def measure(url: str) -> None:
    print("| embedder | search | words: hit@1 | hit@5 | MRR | paraphrase: hit@1 | hit@5 | MRR |")
    print("|---|---|---|---|---|---|---|---|")
    for embedder, language in product(embedders(), LANGUAGES):
        options = Options(url, embedder.name, embedder.dimensions, language=language, search_timeout_seconds=60)
        store, user = PgvectorStore(options), Principal("acme", f"{embedder.name}-{language}")
        await store.prepare()
        service, names = await filled(store, embedder, user)
        for mode in SearchMode:
            if mode is SearchMode.VECTOR and language != LANGUAGES[0]:
                continue  # it knows no words
            kinds = [figures(await places(service, user, names, asked, mode)) for asked in (WORDS, PARAPHRASE)]
            name = mode if mode is SearchMode.VECTOR else f"{mode}, {language}"
            print(f"| {embedder.name} | {name} | {' | '.join(kinds)} |")
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="bureau-bench-") as folder, EmbeddedPostgres(Path(folder)) as server:
        asyncio.run(measure(server.url))
