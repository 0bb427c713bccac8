"""`wavegms demo` without a window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_wavegms.files.reading import read_image, read_mask
from napari_wavegms.learn.metrics import dice
from napari_wavegms.samples import ultrasound_phantom
from napari_wavegms.widgets.demo_window import no_screen, open_window

Run = Callable[..., Any]


def test_image_mask_and_overlay_are_written_and_scored(wavegms: Run, model: Path, tmp_path: Path) -> None:
    said = wavegms("demo", "--no-window", "--output", tmp_path / "demo", "--model", model, "--json")
    assert said.code == 0
    told = json.loads(said.out)
    phantom = ultrasound_phantom()
    np.testing.assert_array_equal(read_image(told["image"]).pixels, phantom.image)
    mask = read_mask(told["mask"])
    np.testing.assert_array_equal(mask, read_mask(told["mask_png"]))
    assert told["dsc"] == pytest.approx(dice(mask, phantom.mask))
    with Image.open(told["overlay"]) as overlay:
        assert overlay.size == phantom.image.shape[::-1]


def test_without_a_screen_the_files_come_in_its_place(
    wavegms: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    said = wavegms("demo", "--model", model)
    assert said.code == 0
    assert "No window could be opened: QT_QPA_PLATFORM is 'offscreen'." in said.err
    assert (tmp_path / "wavegms-demo" / "ultrasound_phantom_0_overlay.png").is_file()
    assert str(Path("wavegms-demo") / "ultrasound_phantom_0_overlay.png") in said.out
    assert "This is 1 synthetic image" in said.out


@pytest.mark.parametrize(
    ("environment", "platform", "reason"),
    [
        ({}, "linux", "there is no display"),
        ({"DISPLAY": ""}, "linux", "there is no display"),
        ({"DISPLAY": ":0"}, "linux", ""),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", ""),
        ({}, "darwin", ""),
        ({}, "win32", ""),
        ({"QT_QPA_PLATFORM": "minimal:enable_fonts", "DISPLAY": ":0"}, "linux", "QT_QPA_PLATFORM is 'minimal'"),
    ],
)
def test_a_screen_is_looked_for(environment: dict[str, str], platform: str, reason: str) -> None:
    assert no_screen(environment, platform) == reason


@pytest.mark.skipif("sys.platform in ('darwin', 'win32')", reason="needs a display that can be named wrongly")
def test_a_display_that_does_not_answer_is_no_reason_to_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    assert open_window().startswith("Qt does not start")
