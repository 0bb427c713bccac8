"""`--scheduler`: a scheduler and workers of dask.distributed on this computer, as a cluster would have them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_wavegms.files.reading import read_mask

Run = Callable[..., Any]
Folders = Callable[[int], tuple[Path, Path]]
CLUSTER = """
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        print(cluster.scheduler_address, flush=True)
        input()
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers."""
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, str(script)], **pipes) as program:
        assert program.stdout is not None
        yield program.stdout.readline().strip()
        program.communicate("\n", timeout=60)


def run(command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "napari_wavegms.cli", command, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)


def test_a_cluster_gives_the_same_masks_and_scores(
    cluster: str, wavegms: Run, folders: Folders, model: Path, tmp_path: Path
) -> None:
    images, masks = folders(6)
    (images / "scan5.png").write_text("no picture")
    options = "--model", model, "--device", "cpu", "--json"
    here = wavegms("segment", images, "--output", tmp_path / "here", *options)
    there = run("segment", images, "--output", tmp_path / "there", *options, "--scheduler", cluster)
    assert there.returncode == here.code == 1, there.stderr
    told, other = json.loads(here.out), json.loads(there.stdout)
    assert told["failed"] == other["failed"]
    names = [Path(one["mask"]).name for one in told["images"]]
    assert names == [Path(one["mask"]).name for one in other["images"]]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "there").iterdir())
    for name in names:
        np.testing.assert_array_equal(read_mask(tmp_path / "here" / name), read_mask(tmp_path / "there" / name))
    score = "--images", images, "--masks", masks, *options
    scored = run("evaluate", *score, "--scheduler", cluster)
    assert json.loads(scored.stdout) == json.loads(wavegms("evaluate", *score).out)


def test_a_scheduler_that_is_not_there_has_its_sentence(folders: Folders, model: Path, tmp_path: Path) -> None:
    images, _ = folders(1)
    nowhere = tmp_path / "scheduler.json"
    said = run("segment", images, "--output", tmp_path / "out", "--model", model, "--scheduler", nowhere)
    assert said.returncode == 2
    assert "No scheduler of dask.distributed answers at" in said.stderr
    assert "Traceback" not in said.stderr
