"""How much there is to do, as Prometheus' text format: what an autoscaler of workers looks at."""

from collections.abc import Callable, Iterator, Sequence

from bureau_contracts.jobs import Load
from kit.exposition import labelled
from services.jobs.store import QueueLoad

_GAUGES: dict[str, Callable[[Load], float]] = {
    "bureau_jobs_waiting": lambda load: load.waiting,
    "bureau_jobs_running": lambda load: load.running,
    "bureau_jobs_oldest_seconds": lambda load: load.oldest_seconds,
}


def exposition(loads: Sequence[QueueLoad], workers: int) -> str:
    return "".join(f"{line}\n" for line in _lines(loads, workers))


def _lines(loads: Sequence[QueueLoad], workers: int) -> Iterator[str]:
    for name, of in _GAUGES.items():
        yield f"# TYPE {name} gauge"
        for load in loads:
            yield f"{labelled(name, {'queue': load.queue})} {of(load.everybody)}"
    yield "# TYPE bureau_jobs_workers gauge"
    yield f"bureau_jobs_workers {workers}"
