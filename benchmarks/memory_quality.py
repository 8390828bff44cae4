"""`python -m benchmarks.memory_quality`: how often the right memory is found, by embedder and kind of search.

By hand: 64 memories and 80 questions (`memory_quality_data.py`), so a question is 2.5 % of its kind. From the public
Banking77, when it is beside the repository: five utterances of each of 77 intents are the memories, five others ask,
and any memory of the same intent is right. Codes: those memories with 40 more that each name one, asked for in 40
messages that are mostly about something else.
"""

import argparse
import asyncio
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import structlog

from benchmarks.memory_quality_data import CODED, MEMORIES, PARAPHRASE, WORDS, WRITING
from benchmarks.routing_data import load_banking
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


@dataclass(frozen=True)
class Questions:
    kind: str
    memories: Sequence[str]
    asked: Sequence[tuple[str, set[int]]]
    """With the numbers of the memories that are right."""


def all_questions() -> list[Questions]:
    names = list(MEMORIES)
    kinds = [("words", WORDS), ("paraphrase", PARAPHRASE)]
    found = [
        Questions(kind, list(MEMORIES.values()), [(question, {names.index(answer)}) for question, answer in asked])
        for kind, asked in kinds
    ]
    intents = load_banking()
    if intents is None:
        print("Banking77 is not there: its questions and those for codes are left out")
        return found
    drawn = random.Random(0)
    shuffled = {intent: drawn.sample(texts, len(texts)) for intent, texts in intents.items()}
    memories = [text for texts in shuffled.values() for text in texts[:5]]
    asked = [
        (text, set(range(5 * number, 5 * number + 5)))
        for number, texts in enumerate(shuffled.values())
        for text in texts[5:10]
    ]
    others = [text for text, _ in drawn.sample(asked, 40)]
    codes = [f"{drawn.choice('BDFGK')}{drawn.choice('LMRST')}-{drawn.randrange(1000, 9999)}" for _ in others]
    coded = [CODED[number % len(CODED)].format(code=code) for number, code in enumerate(codes)]
    messages = [
        (WRITING[number % len(WRITING)].format(code=code, other=other), {len(memories) + number})
        for number, (code, other) in enumerate(zip(codes, others, strict=True))
    ]
    return [*found, Questions("banking", memories, asked), Questions("codes", [*memories, *coded], messages)]


async def filled(store: PgvectorStore, embedder: Embedder, user: Principal, memories: Sequence[str]) -> MemoryService:
    clock = SystemClock()
    service = MemoryService(store, Vectors(embedder), UsageCounts(store, clock), clock)
    for begin in range(0, len(memories), 100):
        await service.remember(user, [NewMemory(text=text) for text in memories[begin : begin + 100]])
    return service


async def places(service: MemoryService, user: Principal, questions: Questions, mode: SearchMode) -> list[int | None]:
    """At which place each question's first right answer was found, from 1."""
    found: list[int | None] = []
    for question, answers in questions.asked:
        answered = await service.search(user, Wanted(), Look(question, k=K, mode=mode))
        assert not answered.degraded
        right = {questions.memories[number] for number in answers}
        ranked = enumerate((hit.memory.text for hit in answered.hits), start=1)
        found.append(next((place for place, text in ranked if text in right), None))
    return found


def figures(found: list[int | None]) -> str:
    first = sum(place == 1 for place in found) / len(found)
    fifth = sum(place is not None and place <= 5 for place in found) / len(found)
    reciprocal = sum(1 / place for place in found if place) / len(found)
    return f"{first:.2f} | {fifth:.2f} | {reciprocal:.2f}"


async def measure(url: str) -> None:
    sets = all_questions()
    print("| embedder | search |", " | ".join(f"{each.kind}: hit@1 | hit@5 | MRR" for each in sets), "|")
    print("|---|---|" + "---|" * 3 * len(sets))
    for embedder, language in product(embedders(), LANGUAGES):
        options = Options(url, embedder.name, embedder.dimensions, language=language, search_timeout_seconds=60)
        store = PgvectorStore(options)
        await store.prepare()
        users = [Principal("acme", f"{embedder.name}-{language}-{questions.kind}") for questions in sets]
        services = [
            await filled(store, embedder, user, questions.memories) for user, questions in zip(users, sets, strict=True)
        ]
        for mode in SearchMode:
            if mode is SearchMode.VECTOR and language != LANGUAGES[0]:
                continue  # it knows no words
            kinds = [
                figures(await places(service, user, questions, mode))
                for service, user, questions in zip(services, users, sets, strict=True)
            ]
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
