"""Windows that go away do not take the program with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CRASH = Path(__file__).with_name("gone_crash.py")


def test_neither_the_collector_nor_another_thread_meets_what_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "faulthandler", str(CRASH), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.stdout.splitlines() == ["survived: collect", "survived: tell"], ran.stderr
    assert ran.returncode == 0
