"""`python -m benchmarks.jobs [--quick]`: jobs of one step from start to end, beside taskiq, saq, arq and dramatiq.

Each side has one worker process and one producer process on the same Valkey, and a job that does nothing with one small
argument. Ours records every step; the peers record nothing. `--quick` goes without peers.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.jobs_bench import PER_SECOND, Bench, Figures, Sizes
from benchmarks.jobs_sides import BARE, BUREAU, BUREAU_API, CONCURRENCY, FIVE_STEPS, PEERS, Reports, Side, programs
from benchmarks.peers import speak
from deploy.local.valkey import EmbeddedValkey
from kit.identity import generate_keypair
from kit.redis import connect

FSYNC = ("always", "everysec")


def environment(url: str, pipe: Path) -> dict[str, str]:
    private, public = generate_keypair()
    return {
        speak.REDIS_URL: url,
        speak.PIPE: str(pipe),
        "BUREAU_IDENTITY_PRIVATE_KEY": private,
        "BUREAU_IDENTITY_PUBLIC_KEYS": public,
        "BUREAU_LOG_LEVEL": "warning",
        "JOBS_REDIS_URL": url,
        "JOBS_CONCURRENCY": str(CONCURRENCY),
        "JOBS_FUNCTION_MODULES": "benchmarks.peers.bureau.side",
    }


async def measure(valkey: EmbeddedValkey, pipe: Path, sides: Sequence[Side], fsync: str, sizes: Sizes) -> None:
    reports, found = Reports(pipe), {side: Figures() for side in sides}
    pid = valkey.server_pid()
    assert pid is not None
    async with connect(valkey.url, timeout_seconds=10) as redis, reports.listening():
        await redis.config_set("appendfsync", fsync)
        bench = Bench(redis, psutil.Process(pid), reports, environment(valkey.url, pipe))
        for number in range(1, sizes.rounds + 1):
            for side in sides:
                await bench.round(side, sizes, found[side])
                speeds = f"{found[side].drain[-1]:,.0f}/s drained, {found[side].live[-1]:,.0f}/s live"
                print(f"  round {number}, {side.name}: {speeds}", flush=True)
    print_table(found, fsync)


def print_table(found: Mapping[Side, Figures], fsync: str) -> None:
    print(f"\nappendfsync {fsync}; medians. ms: from the call to the job's first line, at {PER_SECOND} jobs/s")
    print(
        f"{'':<25}{'drain/s':>9}{'live/s':>9}{'start/s':>9}{'ms p50':>8}{'p99':>7}{'worker µs':>11}{'Valkey µs':>11}"
        f"{'B/queued':>10}{'B/ended':>9}"
    )
    for side, figures in found.items():
        p99 = statistics.quantiles(figures.latency, n=100)[98]
        print(
            f"{side.name:<25}{middle(figures.drain):>9,.0f}{middle(figures.live):>9,.0f}{middle(figures.started):>9,.0f}"
            f"{middle(figures.latency):>8.1f}{p99:>7.1f}{middle(figures.worker):>11,.0f}{middle(figures.valkey):>11,.0f}"
            f"{middle(figures.queued):>10,.0f}{middle(figures.ended):>9,.0f}"
        )
    for mode in ("drain", "live"):
        print_ratio(mode, {side: middle(getattr(figures, mode)) for side, figures in found.items()})


def print_ratio(mode: str, speeds: Mapping[Side, float]) -> None:
    peers = {side.name: speed for side, speed in speeds.items() if side.peer}
    if peers:
        best = max(peers, key=lambda name: peers[name])
        print(f"{mode}: {BUREAU.name} / best peer ({best}) {speeds[BUREAU] / peers[best]:.2f}   (floor 1, goal 2)")
    print(f"{mode}: {BUREAU.name} / bare stream {speeds[BUREAU] / speeds[BARE]:.2f}")


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, no peers: does everything still run?")
    quick = parser.parse_args().quick
    sizes = Sizes(jobs=200, rounds=1, paced=100) if quick else Sizes(jobs=1000, rounds=3, paced=200)
    sides = (BUREAU, *(() if quick else PEERS), BUREAU_API, FIVE_STEPS, BARE)
    print(
        f"one worker process, one producer process, {speak.CALLERS} callers; {sizes.jobs} jobs, {sizes.rounds} rounds"
    )
    for side in sides:
        programs(side)
        print(f"  {side.name}: {side.says}")
    for fsync in FSYNC[: 1 if quick else 2]:
        with tempfile.TemporaryDirectory(prefix="bureau-bench-") as folder, EmbeddedValkey(Path(folder)) as valkey:
            asyncio.run(measure(valkey, Path(folder) / "jobs.pipe", sides, fsync, sizes))


if __name__ == "__main__":
    main()
