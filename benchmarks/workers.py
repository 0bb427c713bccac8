"""What `wavegms segment --workers N` brings: a folder by one process and by several, in turn.

    python benchmarks/workers.py --images ../shared/data/busi/images --each 200 --workers 2

Efficiency is the rate of N processes over N times that of one: over the whole command, and from the first mask to the
last, without the start of Python and torch, which every process pays once and at the same time. Where the cores are
busy with other work, time says little; processor time tells what sharing out costs, and so what efficiency it allows.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import psutil


def run(images: Path, workers: int, model: str) -> tuple[float, float, float]:
    """Seconds of the command, from its first mask to its last, and of all its processes on a processor."""
    with tempfile.TemporaryDirectory() as output:
        options = ["--output", output, "--workers", str(workers), "--model", model, "--device", "cpu"]
        command = [sys.executable, "-m", "napari_wavegms.cli", "segment", str(images), *options]
        began, before = perf_counter(), os.times()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
            assert program.stdout is not None
            lines = [perf_counter() for _ in program.stdout]
        assert program.returncode == 0
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        return perf_counter() - began, lines[-1] - lines[0], used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--each", type=int, default=200, help="images to take")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(path for path in options.images.iterdir() if path.is_file())[: options.each]
        for file in files:
            shutil.copy(file, folder)
        print(f"{len(files)} images, {os.cpu_count()} cores, {psutil.cpu_percent(2):.0f} % of them busy before")
        ways = {1: [], options.workers: []}
        for _ in range(options.rounds):
            for workers, times in ways.items():
                times.append(run(Path(folder), workers, options.model))
    used = [min(times[2] for times in ways[workers]) for workers in ways]
    print(f"processor time: {used[0]:.1f} s and {used[1]:.1f} s")
    for label, part in (("whole command", 0), ("first to last mask", 1)):
        one, many = (min(times[part] for times in ways[workers]) for workers in ways)
        print(
            f"{label}: 1 process {one:.1f} s, {options.workers} processes {many:.1f} s, "
            f"efficiency {one / many / options.workers:.0%}"
        )


if __name__ == "__main__":
    main()
