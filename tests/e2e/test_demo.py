"""`make demo` to its end: it starts, stops and starts again a Bureau of its own, and checks what it tells."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 150


def test_the_demo_comes_to_its_end_and_all_that_it_checks_holds() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "examples.demo"], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS
    )
    told = finished.stdout
    assert finished.returncode == 0, told + finished.stderr
    assert "The paused job goes on" in told
    held, _, checks = told.splitlines()[-1].split()[:3]
    assert held == checks
