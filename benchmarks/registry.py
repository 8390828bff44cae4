"""A durable change of the registry against write + fsync + rename of the same bytes: `python -m benchmarks.registry`.

Both write to the same folder (the current one, since a temporary folder may be in memory). The registry syncs its
folder too, and keeps the version before.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bureau_contracts.registry import AgentRecord, Capabilities
from kit.clock import SystemClock
from services.registry.document import Document
from services.registry.json_file import JsonFile
from services.registry.store_json import JsonStore, open_json_store

SIZES = (100, 10_000)
CALLERS = 64


def agent(number: int) -> AgentRecord:
    now = SystemClock().now()
    return AgentRecord(
        name=f"agent-{number}",
        description=f"Answers whatever is asked about subject {number}.",
        http=f"http://agent-{number}/turn",
        capabilities=Capabilities(example_queries=[f"what about {word} {number}" for word in "abcde"]),
        revision=1,
        registered_at=now,
        updated_at=now,
    )


async def change(store: JsonStore, number: int) -> None:
    changed = agent(number)
    await store.commit(lambda document: document.with_agent(changed))


def write_sync_rename(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@dataclass(frozen=True)
class Figures:
    """Medians in ms."""

    reference: float
    alone: float
    """A change of one caller."""
    together: float
    """Each change of many callers."""
    size: int
    """The file's, in bytes."""


async def measure(folder: Path, size: int, rounds: int) -> Figures:
    path = folder / f"{size}.json"
    everybody = {each.name: each for each in map(agent, range(size))}
    filled = Document(dict(sorted(everybody.items())))
    reference, alone, together = list[float](), list[float](), list[float]()
    async with open_json_store(JsonFile(path), SystemClock()) as store:
        await store.commit(lambda document: replace(document, agents=filled.agents))
        content = path.read_bytes()
        for _ in range(rounds):  # in turn, so that a slow moment of the disk harms all alike
            began = time.perf_counter()
            write_sync_rename(folder / "reference", content)
            reference.append(time.perf_counter() - began)
            began = time.perf_counter()
            await change(store, 7)
            alone.append(time.perf_counter() - began)
            began = time.perf_counter()
            await asyncio.gather(*(change(store, number) for number in range(CALLERS)))
            together.append((time.perf_counter() - began) / CALLERS)
    return Figures(_median_ms(reference), _median_ms(alone), _median_ms(together), len(content))


def _median_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    rounds = 5 if parser.parse_args().quick else 30
    print(f"one change, made durable; ms, medians of {rounds} rounds; in brackets against write + fsync + rename")
    print(f"{'agents':>8} {'bytes':>10} {'reference':>10} {'1 caller':>18} {f'{CALLERS} callers, each':>20}")
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as folder:
        for size in SIZES:
            found = asyncio.run(measure(Path(folder), size, rounds))
            alone = f"{found.alone:9.3f} ({found.alone / found.reference:5.2f}×)"
            together = f"{found.together:11.3f} ({found.together / found.reference:5.3f}×)"
            print(f"{size:>8} {found.size:>10} {found.reference:>10.3f} {alone} {together}")


if __name__ == "__main__":
    main()
