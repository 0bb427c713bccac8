"""Folders with several processes, killed, stopped and resumed: every mask once, the same bits, nothing half-written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.reading import read_mask, read_mask_details
from napari_wavegms.model.card import read_card
from napari_wavegms.model.checkpoint import rewrite_card

Run = Callable[..., Any]
Folders = Callable[[int], tuple[Path, Path]]


@pytest.fixture
def segment(wavegms: Run, model: Path) -> Run:
    """Run `wavegms segment` with the tiny model."""

    def run(*arguments: object) -> Any:
        return wavegms("segment", *arguments, "--model", model, "--device", "cpu")

    return run


def same_masks(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    return all(np.array_equal(read_mask(one / name), read_mask(other / name)) for name in names)


def test_processes_write_what_threads_write(segment: Run, folders: Folders, tmp_path: Path) -> None:
    images, _ = folders(5)
    (images / "scan3.png").write_text("no picture")
    options = "--probability", "--json"
    here = segment(images, "--output", tmp_path / "here", *options)
    there = segment(images, "--output", tmp_path / "there", "--workers", 2, *options)
    assert (here.code, there.code) == (1, 1)
    assert "on the processor (chosen), with 2 workers." in there.err
    told, other = json.loads(here.out), json.loads(there.out)
    assert [Path(one["mask"]).name for one in told["images"]] == [Path(one["mask"]).name for one in other["images"]]
    assert (told["failed"], told["device"]) == (other["failed"], other["device"])
    names = [f"scan{number}" for number in (0, 1, 2, 4)]
    for name in names:
        ours, theirs = (tmp_path / place / f"{name}_mask.tiff" for place in ("here", "there"))
        np.testing.assert_array_equal(read_mask(ours), read_mask(theirs))
        a, b = (np.asarray(Image.open(tmp_path / place / f"{name}_probability.tiff")) for place in ("here", "there"))
        np.testing.assert_array_equal(a, b)
    assert len(list((tmp_path / "there").iterdir())) == 2 * len(names), "nothing half-written, nothing hidden"


def test_a_killed_worker_costs_a_sentence_and_no_mask(
    segment: Run, folders: Folders, model: Path, tmp_path: Path
) -> None:
    images, _ = folders(40)
    arguments = [str(images), "--output", str(tmp_path / "killed"), "--workers", "2", "--model", str(model)]
    command = [sys.executable, "-m", "napari_wavegms.cli", "segment", *arguments, "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        program.stdout.readline()  # the first mask is written, so both processes are, or soon will be, at work
        workers = [
            child for child in psutil.Process(program.pid).children() if any("spawn_main" in w for w in child.cmdline())
        ]
        workers[0].kill()
        _, said = program.communicate(timeout=120)
    assert program.returncode == 0, said
    assert len(workers) == 2
    assert said.count("the process that worked on it ended") + said.count("ended before it had begun") == 1
    assert "40 masks in" in said
    assert segment(images, "--output", tmp_path / "alone").code == 0
    assert same_masks(tmp_path / "killed", tmp_path / "alone")


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--format", "png"), ("--channel", "0")])
def test_what_is_done_is_skipped_and_the_rest_is_made(
    segment: Run, folders: Folders, tmp_path: Path, options: tuple[str, ...]
) -> None:
    images, _ = folders(3)
    out = tmp_path / "out"
    assert segment(images / "scan1.png", "--output", out, *options).code == 0
    (first,) = out.iterdir()
    before = first.stat().st_mtime_ns
    said = segment(images, "--output", out, "--resume", *options)
    assert said.code == 0
    assert "Already done: 1 mask." in said.err
    assert "2 masks in" in said.err
    again = json.loads(segment(images, "--output", out, "--resume", "--overwrite", "--json", *options).out)
    assert (len(again["done_before"]), again["kept"], again["images"]) == (3, [], [])
    assert first.stat().st_mtime_ns == before


def volume(folder: Path) -> Path:
    import nibabel

    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 900, (20, 24, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-0.8, 0.9, 3, 1])), folder / "scan.nii.gz")
    return folder


def test_the_mask_of_a_volume_is_known_again(segment: Run, tmp_path: Path) -> None:
    images = volume(tmp_path / "volumes")
    assert segment(images, "--output", tmp_path / "out").code == 0
    assert "Already done: 1 mask" in segment(images, "--output", tmp_path / "out", "--resume").err


def another_threshold(images: Path, mask: Path, model: Path) -> tuple[str, ...]:
    return "--threshold", "0.4"


def another_model(images: Path, mask: Path, model: Path) -> tuple[str, ...]:
    other = Path(shutil.copy(model, mask.parent.parent / "tiny.safetensors"))
    rewrite_card(other, replace(read_card(other), title="Other weights"))
    return "--model", str(other)


def another_image(images: Path, mask: Path, model: Path) -> tuple[str, ...]:
    shutil.copy(images / "scan1.png", images / "scan0.png")
    return ()


def painted_here(images: Path, mask: Path, model: Path) -> tuple[str, ...]:
    about = read_mask_details(mask)
    assert about.provenance is not None
    write_mask(mask, about.labels, provenance=replace(about.provenance, edited=True))
    return ()


def painted_elsewhere(images: Path, mask: Path, model: Path) -> tuple[str, ...]:
    about = read_mask_details(mask)
    labels = about.labels.copy()
    labels[0, 0] ^= 1  # one pixel, while what stands in the file stays
    write_mask(mask, labels, provenance=about.provenance)
    return ()


def of_another_program(images: Path, mask: Path, model: Path) -> tuple[str, ...]:
    write_mask(mask, read_mask(mask))
    return ()


def damaged(images: Path, mask: Path, model: Path) -> tuple[str, ...]:
    mask.write_bytes(mask.read_bytes()[:100])
    return ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (another_threshold, "made by another model or other settings"),
        (another_model, "made by another model or other settings"),
        (another_image, "made of another image"),
        (painted_here, "changed by hand"),
        (painted_elsewhere, "changed by hand"),
        (of_another_program, "does not say how it was made"),
        (damaged, "cannot be read"),
    ],
)
def test_another_mask_is_kept_and_named_and_replaced_only_when_told(
    wavegms: Run,
    folders: Folders,
    model: Path,
    tmp_path: Path,
    change: Callable[[Path, Path, Path], tuple[str, ...]],
    reason: str,
) -> None:
    images, _ = folders(2)
    command = "segment", images / "scan0.png", "--output", tmp_path / "out", "--device", "cpu"
    assert wavegms(*command, "--model", model).code == 0
    mask = tmp_path / "out" / "scan0_mask.tiff"
    options = change(images, mask, model) or ("--model", str(model))
    options = options if "--model" in options else (*options, "--model", str(model))
    before = mask.read_bytes()
    said = wavegms(*command, "--resume", *options)
    assert said.code == 0
    assert f"Kept 1 mask that exist already: scan0_mask.tiff ({reason})" in said.err
    assert mask.read_bytes() == before
    assert wavegms(*command, "--resume", "--overwrite", *options).code == 0
    assert mask.read_bytes() != before
    assert "Already done: 1 mask" in wavegms(*command, "--resume", *options).err


def test_a_missing_map_is_made_with_its_mask(segment: Run, folders: Folders, tmp_path: Path) -> None:
    images, _ = folders(1)
    assert segment(images, "--output", tmp_path / "out").code == 0
    assert segment(images, "--output", tmp_path / "out", "--resume", "--probability").code == 0
    assert (tmp_path / "out" / "scan0_probability.tiff").exists()


def test_a_pattern_that_no_shell_expanded_is_expanded(segment: Run, folders: Folders, tmp_path: Path) -> None:
    images, _ = folders(3)
    assert segment(images / "scan[02].png", "--output", tmp_path / "out", "--workers", 1).code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scan0_mask.tiff", "scan2_mask.tiff"]


@pytest.mark.parametrize("count", ["0", "-1", "two"])
def test_so_many_workers_there_cannot_be(segment: Run, folders: Folders, tmp_path: Path, count: str) -> None:
    said = segment(folders(1)[0], "--output", tmp_path / "out", "--workers", count)
    assert said.code == 2
    assert f"--workers is '{count}'" in said.err


def test_scores_are_the_same_with_processes(wavegms: Run, folders: Folders, model: Path) -> None:
    images, masks = folders(6)
    (images / "scan4.png").write_text("no picture")
    command = "evaluate", "--images", images, "--masks", masks, "--model", model, "--device", "cpu"
    here, there = wavegms(*command), wavegms(*command, "--workers", 2)
    assert (here.code, there.code) == (1, 1)
    assert here.out == there.out
    assert json.loads(wavegms(*command, "--workers", 2, "--json").out) == json.loads(wavegms(*command, "--json").out)
