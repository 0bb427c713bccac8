"""The panels' words: about an image, a device, a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pint
import pytest

from napari_wavegms.widgets.forms.clean_up import CleanUp, clean_up_sentence, cleaned
from napari_wavegms.widgets.forms.device_row import device_hint
from napari_wavegms.widgets.layers.image_info import describe_image
from napari_wavegms.widgets.segment.run import RunReport, edits_sentence, run_sentence
from napari_wavegms.widgets.tools.mask_tools import threshold_sentence
from napari_wavegms.widgets.tools.save_mask import suggested_path, with_suffix

MM, PIXEL = pint.Unit("mm"), pint.Unit("pixel")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (((244, 320), "uint8"), "244 x 320, grey, uint8"),
        (((244, 320), np.dtype("float32"), False, (1, 1), (PIXEL, PIXEL)), "244 x 320, grey, float32"),
        (((244, 320, 4), "uint8", True), "244 x 320, RGBA, uint8"),
        (((12, 244, 320, 3), "uint8", True), "12 x 244 x 320, RGB, uint8"),
        (((244, 320), "uint16", False, (0.2, 0.2), (MM, MM)), "244 x 320, grey, uint16, 0.2 mm/px"),
        (((9, 244, 320), "bool", False, (3, 0.2, 0.25), ("mm",) * 3), "9 x 244 x 320, grey, bool, 0.2 x 0.25 mm/px"),
    ],
)
def test_an_image_in_a_line(arguments: tuple[object, ...], line: str) -> None:
    assert describe_image(*arguments) == line


@pytest.mark.parametrize(
    ("wish", "torch", "platform", "sentence", "impossible"),
    [
        ("auto", "2.13.0+cpu", "linux", "CPU: this build of torch has no CUDA", False),
        ("auto", "2.13.0+cu130", "linux", "checked at the first run", False),
        ("auto", "2.13.0", "darwin", "checked at the first run", False),
        ("cpu", "2.13.0", "linux", "CPU: as chosen", False),
        ("cuda", "2.13.0+cpu", "linux", "built without CUDA. Choose auto or cpu", True),
        ("cuda", "2.13.0", "darwin", "built without CUDA", True),
        ("mps", "2.13.0", "win32", "not a Mac. Choose auto", True),
        ("auto", None, "linux", "pip install torch", True),
    ],
)
def test_a_device_before_torch_is_there(
    wish: str, torch: str | None, platform: str, sentence: str, impossible: bool
) -> None:
    hint = device_hint(wish, torch, platform)
    assert sentence in hint.sentence
    assert hint.impossible is impossible


def test_a_run_in_words() -> None:
    one = RunReport("benign_12", 0.034, 1, 1, 0.5, seconds=0.2, device="cpu")
    assert run_sentence(one) == "3.4 % of benign_12 labelled in 0.2 s on CPU."
    nothing = RunReport("benign_12", 0.0, 1, 1, 0.5, seconds=0.2, device="cuda")
    assert run_sentence(nothing).startswith("Nothing in benign_12 reaches the threshold 0.50 (in 0.2 s on CUDA).")
    many = RunReport("cine", 0.1, 12, 12, 0.5, kept=1, seconds=2.0, device="cpu")
    expected = "12 frames of cine segmented in 2 s on CPU; 10.0 % labelled. Your 1 edited pixel was kept."
    assert run_sentence(many) == expected
    stopped = RunReport("cine", 0.1, 5, 12, 0.5)
    assert run_sentence(stopped) == "Cancelled after 5 of 12 frames of cine; the finished ones are kept."


def test_thresholds_and_edits_in_words() -> None:
    assert threshold_sentence(0.0001, 0.7, every=False) == "less than 0.1 % of the image labelled at threshold 0.70."
    assert edits_sentence("m", 1212) == "You edited 1,212 pixels of “m”. Segment again and keep them?"


def test_a_clean_up_says_what_it_changed() -> None:
    ring = np.ones((5, 5), np.uint8)
    ring[2, 2] = 0
    request = CleanUp("fill_holes")
    after = cleaned(ring, request)
    assert after.all()
    assert clean_up_sentence(request, ring, after) == "Fill holes: 1 px added. Ctrl+Z takes it back."
    assert clean_up_sentence(request, after, after) == "Fill holes: there was nothing to do."
    speck = np.zeros((5, 5), np.uint8)
    speck[0, 0] = 1
    assert not cleaned(speck, CleanUp("remove_islands", 50)).any()
    for step in ("keep_largest", "smooth"):
        assert cleaned(ring, CleanUp(step)).shape == ring.shape


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("benign_12", "/data/benign_12.png", "/data/benign_12_mask.tif"),
        ("x", "/data/scan.v2.tif", "/data/scan.v2_mask.tif"),
        ("x", "/data/brain.nii.gz", "/data/brain_mask.tif"),
        ("x", "/data/cells.ome.tif", "/data/cells_mask.tif"),
        ("x", "/data/folder.with.zarr/", "/data/folder.with_mask.tif"),
        ("x", "/data/noending", "/data/noending_mask.tif"),
        ("My image [1]", None, "/here/My_image_1_mask.tif"),
        ("///", None, "/here/image_mask.tif"),
    ],
)
def test_the_mask_is_offered_beside_its_image(name: str, source: str | None, expected: str) -> None:
    assert suggested_path(name, source, Path("/here")) == Path(expected)


def test_a_name_without_an_ending_gets_that_of_the_chosen_type() -> None:
    assert with_suffix(Path("a"), "PNG mask (*.png)") == Path("a.png")
    assert with_suffix(Path("a"), "All files (*)") == Path("a.tif")
    assert with_suffix(Path("a.tiff"), "PNG mask (*.png)") == Path("a.tiff")
