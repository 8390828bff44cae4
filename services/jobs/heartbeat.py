"""A worker's heart: a thread that keeps its leases, because a step that blocks the event loop must not cost them.

When the event loop does not turn for a very long time the heart stops too: a worker that hangs must lose its jobs.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kit.logs import get_logger
from services.jobs.errors import StoreAway
from services.jobs.records import WorkerRecord
from services.jobs.store import Claim, Pulse

log = get_logger(__name__)

HANGING_SECONDS = 60.0
"""An event loop that did not turn for so long is not waiting for a slow step: it hangs."""


class Heartbeat:
    """`report` says what to beat, from any thread; `on_lost` is called in the event loop."""

    def __init__(
        self,
        pulse: Pulse,
        every_seconds: float,
        report: Callable[[], tuple[WorkerRecord, Sequence[Claim]]],
        on_lost: Callable[[Claim], None],
        hanging_seconds: float = HANGING_SECONDS,
    ) -> None:
        self._pulse, self._every = pulse, every_seconds
        self._report, self._on_lost = report, on_lost
        self._hanging = hanging_seconds
        self._stop = threading.Event()
        self._turned = time.monotonic()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beats during the block, which is run by the event loop."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._beat_until_stopped, args=(loop,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(timeout=2 * self._every)
            self._pulse.close()

    def _beat_until_stopped(self, loop: asyncio.AbstractEventLoop) -> None:
        away = False
        while True:
            loop.call_soon_threadsafe(self._turn)
            if time.monotonic() - self._turned < self._hanging:
                try:
                    for claim in self._pulse.beat(*self._report()):
                        loop.call_soon_threadsafe(self._on_lost, claim)
                    away = False
                except StoreAway as error:
                    if not away:
                        log.warning("heartbeat_failed", error=error.detail)
                    away = True
                except Exception:
                    # Without a heart all would be lost that this worker does.
                    log.exception("heartbeat_broke")
            if self._stop.wait(self._every):
                return

    def _turn(self) -> None:
        self._turned = time.monotonic()
