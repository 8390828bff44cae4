"""`python -m benchmarks.memory_embedders`: what a vector costs, by embedder: of one text, in batches, from the cache.

Medians. There is no reference: what another embedder takes is in the row beside it. With one thread, as in `make up`.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable
from statistics import median

from benchmarks.memory_quality import embedders
from benchmarks.memory_quality_data import MEMORIES
from bureau_contracts.memory import EmbedPurpose
from services.memory.embedder import Embedder
from services.memory.embedding_cache import CachedEmbedder

BATCH = 64


def texts(count: int) -> list[str]:
    """Of different wording each: memories of one person, some 10 words, with a number."""
    memories = list(MEMORIES.values())
    return [f"{memories[number % len(memories)]} ({number})" for number in range(count)]


async def milliseconds(call: Awaitable[object]) -> tuple[float, float]:
    """By the clock, and of the processor: of all threads of this process."""
    began, used = time.perf_counter(), time.process_time()
    await call
    return (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000


async def measure(embedder: Embedder, count: int) -> str:
    document = EmbedPurpose.DOCUMENT
    await embedder.embed(texts(2), document)  # whatever is loaded with the first
    single = [await milliseconds(embedder.embed([text], document)) for text in texts(count)]
    batches = [await milliseconds(embedder.embed(texts(BATCH), document)) for _ in range(max(2, count // BATCH))]
    cached = CachedEmbedder(embedder)
    await cached.embed(texts(count), document)
    hits = [await milliseconds(cached.embed([text], document)) for text in texts(count)]
    (one, one_used), (batch, batch_used), (hit, _) = (
        tuple(map(median, zip(*each, strict=True))) for each in (single, batches, hits)
    )
    rate = BATCH / batch * 1000
    return f"{one:.2f} | {one_used:.2f} | {rate:,.0f} | {batch_used / BATCH:.2f} | {hit:.3f}"


async def run(count: int) -> None:
    in_batches = f"in batches of {BATCH}, texts/s"
    print(f"| embedder | one text, ms | of the processor | {in_batches} | of the processor, ms each | cached, ms |")
    print("|---|---|---|---|---|---|")
    for embedder in embedders():
        print(f"| {embedder.name}, {embedder.dimensions} dimensions | {await measure(embedder, count)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_embedders", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="64 texts instead of 512")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported
    asyncio.run(run(64 if parser.parse_args().quick else 512))
