"""Several files at once, against one after the other."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_wavegms.commands.segment import Done, Job, segment_many
from napari_wavegms.errors import InputError
from napari_wavegms.files.reading import read_mask
from napari_wavegms.segment.segmenter import Segmenter


@pytest.fixture
def segmenter(model: Path) -> Segmenter:
    return Segmenter.from_checkpoint(model, device="cpu")


def _jobs(folder: Path, planes: list[int]) -> list[Job]:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number, count in enumerate(planes):
        tifffile.imwrite(
            folder / f"{number}.tif", rng.integers(0, 255, (count, 20, 24), np.uint8), photometric="minisblack"
        )
    return [Job(folder / f"{number}.tif", folder / f"{number}_mask.tiff") for number in range(len(planes))]


def _workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("wavegms-segment")]


def test_the_masks_are_those_of_one_after_the_other_and_come_in_order(segmenter: Segmenter, tmp_path: Path) -> None:
    alone = _jobs(tmp_path / "alone", [3, 1, 2, 1, 1])
    together = _jobs(tmp_path / "together", [3, 1, 2, 1, 1])
    assert all(isinstance(done, Done) for _, done in segment_many(segmenter, alone, 0.5, workers=1))
    assert [job for job, _ in segment_many(segmenter, together, 0.5, workers=3)] == together
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(read_mask(one.mask), read_mask(other.mask))
    assert not _workers()


def test_a_broken_file_is_an_outcome_among_others(segmenter: Segmenter, tmp_path: Path) -> None:
    jobs = _jobs(tmp_path / "scans", [1, 1, 1])
    jobs[1].source.write_bytes(b"no image")
    kinds = [type(result) for _, result in segment_many(segmenter, jobs, 0.5, workers=2)]
    assert kinds == [Done, InputError, Done]


def test_closing_stops_between_two_planes_and_leaves_whole_files(segmenter: Segmenter, tmp_path: Path) -> None:
    jobs = _jobs(tmp_path / "scans", [1, 2000, 2000, 2000])
    finished = segment_many(segmenter, jobs, 0.5, workers=2)
    assert next(finished)[0] == jobs[0]
    finished.close()  # 6000 planes would take minutes
    assert not _workers()
    assert [job.mask.exists() for job in jobs] == [True, False, False, False]
    assert not list((tmp_path / "scans").glob("*.tmp*"))
