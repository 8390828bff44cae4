"""The memory without the model that it is told to use, as a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from kit.identity import generate_keypair

ROOT = Path(__file__).resolve().parents[3]
WITHOUT = "import sys; sys.modules[sys.argv.pop(1)] = None; from kit.serve import main; main()"
"""Runs kit.serve where a module cannot be imported, whether it is installed or not."""


@pytest.mark.parametrize("missing", ["tokenizers", "numpy"])
def test_a_missing_model_ends_the_start_with_one_line_that_says_what_to_do(missing: str) -> None:
    environment = {"MEMORY_EMBEDDER": "sentence", "BUREAU_IDENTITY_PUBLIC_KEYS": generate_keypair()[1]}
    command = [sys.executable, "-c", WITHOUT, missing, "services.memory"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert run.stderr == f"services.memory: the sentence embedder needs {missing}: `make sentence` installs it\n"
    assert run.stdout == ""
