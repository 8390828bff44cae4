"""A change of the registry against write + fsync + rename of the same bytes: `python -m benchmarks.registry`.

`store` is a new revision made durable; `service` is all but HTTP: the rules too, and the search index brought up to
date. All, the reference too, are acknowledged when file and folder are synced; the registry also keeps the version
before. They write to the current folder's disk, since a temporary folder may be in memory.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bureau_contracts.registry import AgentPatch, AgentRecord, Capabilities, ChangeType, Kind
from kit.clock import SystemClock
from kit.identity import Principal
from kit.logs import configure_logs
from services.registry.document import Document, Edit, Stamp
from services.registry.json_file import JsonFile
from services.registry.ranking import DEFAULT_THRESHOLD
from services.registry.service import Registry
from services.registry.shortlist import Shortlist
from services.registry.store_json import open_json_store

SIZES = (100, 10_000)
CALLERS = 64
OPERATOR = Principal("acme", "olga", scopes=frozenset({"registry:write"}))


def filled(size: int) -> Document:
    """As many agents, each with one revision."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    records = [
        AgentRecord(
            name=f"agent-{number}",
            description=f"Answers whatever is asked about subject {number}.",
            http=f"http://agent-{number}/turn",
            capabilities=Capabilities(example_queries=[f"what about {word} {number}" for word in "abcde"]),
            revision=1,
            registered_at=now,
            updated_at=now,
        )
        for number in range(size)
    ]
    return Document().edited(
        [Edit(Kind.AGENT, record.name, ChangeType.REGISTERED, record) for record in records], Stamp(now)
    )


def write_sync_rename(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


@dataclass(frozen=True)
class Figures:
    """Medians in ms, and medians of each round's own ratio to its reference."""

    size: int
    """The file's, in bytes."""
    reference: float
    alone: float
    """A change of one caller."""
    alone_ratio: float
    together: float
    """Each change of many callers: the time for all of them, divided by how many they are."""
    together_ratio: float


async def measure(folder: Path, size: int, rounds: int, whole_service: bool) -> Figures:
    path = folder / f"{size}-{whole_service}.json"
    clock = SystemClock()
    reference, alone, together = list[float](), list[float](), list[float]()
    async with open_json_store(JsonFile(path), clock) as store:
        await store.commit(lambda _: filled(size))
        registry = Registry(store, Shortlist(DEFAULT_THRESHOLD), clock)

        async def change(number: int) -> None:
            name, description = f"agent-{number}", f"{time.perf_counter()}"
            if whole_service:
                await registry.update(OPERATOR, name, AgentPatch(description=description))
                return
            stamp = Stamp(clock.now(), "acme/olga")
            update = {"description": description}
            await store.commit(
                lambda document: document.put(
                    document.agents[name].model_copy(update=update), ChangeType.UPDATED, stamp
                )
            )

        async def change_together() -> None:
            await asyncio.gather(*(change(number) for number in range(CALLERS)))

        await change_together()
        for _ in range(rounds):  # in turn, so that a slow moment of the disk harms all alike
            content = path.read_bytes()
            before = _seconds(lambda: write_sync_rename(folder / "reference", content))  # noqa: B023 - called at once
            alone.append(await _seconds_of(lambda: change(7)))
            between = _seconds(lambda: write_sync_rename(folder / "reference", content))  # noqa: B023 - called at once
            together.append(await _seconds_of(change_together) / CALLERS)
            reference += [before, between]
    return Figures(
        len(content),
        statistics.median(reference) * 1000,
        statistics.median(alone) * 1000,
        statistics.median(found / against for found, against in zip(alone, reference[::2], strict=True)),
        statistics.median(together) * 1000,
        statistics.median(found / against for found, against in zip(together, reference[1::2], strict=True)),
    )


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def _seconds_of(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    configure_logs("registry", level="error")  # a change is worth a log line, and not this table's
    rounds = 5 if parser.parse_args().quick else 50
    print("A change, acknowledged when file and folder are synced, against write + fsync + rename + folder fsync of")
    print(f"the same bytes, in turn; ms, medians of {rounds} rounds; × is the median of each round's own ratio.")
    many = f"{CALLERS} callers, each"
    print(f"{'agents':>8} {'through':>8} {'bytes':>10} {'reference':>10} {'1 caller':>18} {many:>20}")
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as folder:
        for size, whole_service in itertools.product(SIZES, (False, True)):
            found = asyncio.run(measure(Path(folder), size, rounds, whole_service))
            alone = f"{found.alone:9.3f} ({found.alone_ratio:5.2f}×)"
            together = f"{found.together:11.3f} ({found.together_ratio:5.3f}×)"
            through = "service" if whole_service else "store"
            print(f"{size:>8} {through:>8} {found.size:>10} {found.reference:>10.3f} {alone} {together}")


if __name__ == "__main__":
    main()
