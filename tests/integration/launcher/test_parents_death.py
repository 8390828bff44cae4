"""However the process that holds the stores ends, both shut down cleanly and within a second."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import ROOT, is_gone, wait_until

HOLD_STORES = str(Path(__file__).with_name("hold_stores.py"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_both_servers_shut_down_cleanly_within_a_second(cluster: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, HOLD_STORES, str(cluster)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # SIGINT's traceback
        text=True,
    )
    assert parent.stdout is not None
    pids = json.loads(parent.stdout.readline())
    assert len(pids) == 2
    assert not any(is_gone(pid) for pid in pids)

    sockets = Path((cluster / "postgres" / "postmaster.pid").read_text().splitlines()[4])
    assert sockets.is_dir()
    parent.send_signal(number)
    killed = time.monotonic()
    parent.communicate(timeout=5)
    wait_until(lambda: all(is_gone(pid) for pid in pids), 5, "both servers to be gone")
    assert time.monotonic() - killed < 1.0

    assert not (cluster / "postgres" / "postmaster.pid").exists()
    wait_until(lambda: not sockets.exists(), 2, "the socket folder to be removed")
    assert not (cluster / "valkey" / "valkey.pid").exists()
    assert "database system is shut down" in (cluster / "logs" / "postgres.log").read_text().splitlines()[-1]
    assert "ready to exit" in (cluster / "logs" / "valkey.log").read_text().splitlines()[-1]
