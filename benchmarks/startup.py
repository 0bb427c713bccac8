"""What napari-wavegms adds to napari's start: reading and registering its manifest, in fresh interpreters.

    python benchmarks/startup.py

Each round starts two interpreters, one that finds every plugin but ours and one that finds all, and takes the
difference of their discovery times; torch must not be imported by either.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

SCRIPT = """
import sys, time
from importlib import metadata
from npe2 import PluginManager
# Both interpreters look at every name, so that the looking costs the same.
hidden, every = {"without": "napari-wavegms", "with": "no such plugin"}[sys.argv[1]], metadata.distributions
metadata.distributions = lambda *a, **k: (d for d in every(*a, **k) if d.metadata["Name"] != hidden)
manager = PluginManager.instance()
start = time.perf_counter()
manager.discover()
seconds = time.perf_counter() - start
assert ("napari-wavegms" in manager) == (sys.argv[1] == "with"), sorted(manager)
assert "torch" not in sys.modules
print(seconds)
"""
ROUNDS = 15


def discovery(which: str) -> float:
    run = subprocess.run([sys.executable, "-c", SCRIPT, which], capture_output=True, text=True, check=True)
    return float(run.stdout) * 1000


def main() -> None:
    rounds = [(discovery("without"), discovery("with")) for _ in range(ROUNDS + 1)][1:]  # the first fills disk caches
    added = np.array([with_us - without for without, with_us in rounds])
    low, middle, high = np.percentile(added, [25, 50, 75])
    print(
        json.dumps(
            {
                "discovery_without_ms": round(float(np.median([without for without, _ in rounds])), 1),
                "added_ms": round(float(middle), 1),
                "quartiles_ms": [round(float(low), 1), round(float(high), 1)],
                "rounds": ROUNDS,
            }
        )
    )


if __name__ == "__main__":
    main()
