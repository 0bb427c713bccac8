"""Killed at random moments while it does everything that is kept; the long run is benchmarks/kills.py itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).resolve().parents[2] / "benchmarks" / "kills.py"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL")
def test_a_few_random_kills_lose_nothing_that_was_told(tmp_path: Path) -> None:
    command = [sys.executable, str(KILLS), "--kills", "6", "--home", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("6 kills; told: ")
    assert " strokes on 6 images" in run.stdout, "each child did something before it was killed"
