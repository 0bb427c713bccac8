"""Two commits against each other in one run, taking turns, so that no regression goes unnoticed.

    python benchmarks/compare.py COMMIT COMMIT [--rounds N] [--batch N] [--json FILE]

Each commit is checked out into a temporary worktree, and `compare_probe.py` of this checkout measures both through
their public interface, in fresh processes. Printed are processor and wall seconds of each, and second over first as the
median of neighbours with its quartiles. The exit code is 1 if the second takes more than a tenth longer of processor
time in anything, with its lower quartile above one as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent.resolve()
ALLOWED = 1.1


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    subprocess.run(["git", "worktree", "add", "--detach", "--quiet", folder, commit], check=True, cwd=HERE)
    try:
        yield folder
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", folder], check=True, cwd=HERE)


def probed(tree: Path, batch: int) -> dict[str, float]:
    run = subprocess.run(
        [sys.executable, HERE / "compare_probe.py", str(batch)],
        env=os.environ | {"PYTHONPATH": str(tree / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(f"{tree.name} could not be measured:\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def table(first: list[dict[str, float]], second: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    told = {}
    for name in first[0]:
        a, b = (np.array([each[name] for each in side]) for side in (first, second))
        low, middle, high = np.percentile(b / a, [25, 50, 75])
        told[name] = {
            "first": round(float(np.median(a)), 4),
            "second": round(float(np.median(b)), 4),
            "ratio": round(float(middle), 3),
            "low": round(float(low), 3),
            "high": round(float(high), 3),
        }
    return told


def slower(told: dict[str, dict[str, float]]) -> list[str]:
    """What takes longer in the second, beyond noise; wall time is told but not judged: it is other programs' too."""
    judged = {name: row for name, row in told.items() if name.endswith("cpu_s")}
    return [name for name, row in judged.items() if row["ratio"] > ALLOWED and row["low"] > 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        checked_out(options.first, Path(folder, "first")) as first,
        checked_out(options.second, Path(folder, "second")) as second,
    ):
        # The first round compiles and fills disk caches.
        rounds = [[probed(tree, options.batch) for tree in (first, second)] for _ in range(options.rounds + 1)][1:]
    told = table([a for a, _ in rounds], [b for _, b in rounds])
    print(f"{'':22}{'first':>9}{'second':>9}{'ratio':>8}  quartiles")
    for name, row in told.items():
        print("{:22}{first:9.3f}{second:9.3f}{ratio:8.2f}  {low:.2f} to {high:.2f}".format(name, **row))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for name in (worse := slower(told)):
        print(f"{options.second} takes longer: {name}.")
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main())
