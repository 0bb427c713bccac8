"""The screenshots of docs/images/panels: the panels in their main states, light, dark, narrow and at napari's own size.

    xvfb-run -a -s "-screen 0 1600x1100x24" python benchmarks/screenshots.py [--to FOLDER] [--images FOLDER]

Images are breast ultrasound of BUSI (Al-Dhabyani et al., Data in Brief 28:104863, 2020; CC0 1.0) from ../shared, or
else our synthetic phantoms, and the samples of the plugin. PNGs are reduced to few colours, at most 100 kB each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from day import Day

ROOT = Path(__file__).resolve().parents[1]
BUSI = ROOT.parent / "shared" / "data" / "busi" / "images"
LARGEST = 100_000  # bytes
NARROW = 260  # pixels
WIDE = (1200, 800)
COUNT = 8  # images in the folder


def shrink(file: Path) -> None:
    """Write a PNG with as many colours, and then pixels, as fit into the size that it may have."""
    from PIL import Image

    picture = Image.open(file).convert("RGB")
    for colours, scale in ((128, 1.0), (64, 1.0), (48, 0.85), (32, 0.85), (32, 0.7), (24, 0.6)):
        size = tuple(round(side * scale) for side in picture.size)
        small = picture.resize(size, Image.Resampling.LANCZOS)
        # The method that keeps rare colours: signs, and the mask itself, are small.
        small = small.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(file, optimize=True)
        if file.stat().st_size <= LARGEST:
            return


class Album:
    """A window, and the pictures taken of it."""

    def __init__(self, day: Day, folder: Path) -> None:
        self.day, self.folder, self.taken = day, folder, 0

    def rest(self, seconds: float = 0.6) -> None:
        """Let the window work."""
        until = time.perf_counter() + seconds
        self.day.wait(lambda: time.perf_counter() > until)

    def remove(self, layers: list[Any]) -> None:
        """Remove layers once there are others: napari's canvas does not survive an empty viewer in between."""
        for layer in layers:
            if layer in self.day.viewer.layers:  # the mark of an uncertain spot goes by itself
                self.day.viewer.layers.remove(layer)

    def take(
        self, name: str, theme: str = "dark", size: tuple[int, int] = WIDE, dock: Any = None, zoomed: bool = False
    ) -> None:
        """Take a picture, in a theme and a size, and with a dock as narrow as it goes."""
        from qtpy.QtCore import Qt

        viewer = self.day.viewer
        window = viewer.window._qt_window
        viewer.theme = theme
        window.resize(*size)
        self.rest()
        if dock is not None:
            window.resizeDocks([dock], [NARROW], Qt.Orientation.Horizontal)
            self.rest()
        if not zoomed:
            viewer.reset_view()
        self.rest()
        self.taken += 1
        file = self.folder / f"{self.taken:02}-{name}.png"
        viewer.window.screenshot(str(file), canvas_only=False, flash=False)
        shrink(file)
        print(file.name, file.stat().st_size, file=sys.stderr, flush=True)


def dock_of(panel: Any) -> Any:
    """The dock that a panel is in."""
    from napari_wavegms.widgets.qt.docks import QDockWidget, enclosing

    return enclosing(panel, QDockWidget)


def segment(album: Album, natural: tuple[int, int]) -> Any:
    """Wave-GMS Segment."""
    from napari_wavegms.samples import skin_lesion_sample, ultrasound_sample

    day = album.day
    panel = day.open("Wave-GMS Segment")

    def run() -> None:
        day.click("Segment")
        day.wait(lambda: not panel.busy)
        album.rest(1.0)

    image, meta, _ = ultrasound_sample()[0]
    day.viewer.add_image(image, **meta)
    album.take("segment-before")
    run()
    album.take("segment-default-size", size=natural)
    album.take("segment-light", "light")
    day.click("Uncertain spot")
    album.rest(1.5)
    album.take("segment-uncertain-spot", zoomed=True)
    album.take("segment-narrow", size=natural, dock=dock_of(panel))
    before = list(day.viewer.layers)
    image, meta, _ = skin_lesion_sample()[0]
    day.viewer.add_image(image, **meta)
    album.remove(before)
    run()
    album.take("segment-skin")
    day.viewer.window.remove_dock_widget(panel)
    return panel


def review(album: Album, images: Path, natural: tuple[int, int]) -> Any:
    """Wave-GMS Review."""
    day = album.day
    before = list(day.viewer.layers)
    panel = day.open("Wave-GMS Review")
    album.take("review-empty")
    day.click("Folder")
    day.type_path(images)

    def has_mask() -> bool:
        return not panel.busy and panel.shown is not None and bool(panel.shown.memory.planes)

    def approve() -> None:
        shown = panel.shown
        day.key("Alt+A")
        day.wait(lambda: not panel.busy and panel.shown is not shown and has_mask())

    def draw() -> None:
        rows, columns = panel.shown.mask.data.shape
        for row in (0.36, 0.42):
            day.stroke((rows * row, columns * 0.4), (rows * row, columns * 0.6))
        album.rest(1.5)

    day.wait(has_mask)
    album.remove(before)
    album.rest(3)
    album.take("review")
    draw()
    album.take("review-corrected")
    album.take("review-light", "light")
    day.click("Changes")
    album.rest(1.5)
    album.take("review-changes")
    day.click("Changes")
    day.click("Uncertainty")
    album.rest(1.5)
    album.take("review-uncertainty")
    day.click("Uncertainty")
    approve()
    for _ in range(5):  # of fewer than five corrections each would be scored by a training of its own
        draw()
        approve()
    day.click("Save, export")
    album.take("review-export")
    album.take("review-default-size", size=natural)
    album.take("review-narrow", size=natural, dock=dock_of(panel))
    return panel


def fine_tune(album: Album, natural: tuple[int, int], reviewing: Any) -> None:
    """Wave-GMS Fine-tune, and Review with its model."""
    day = album.day
    panel = day.open("Wave-GMS Fine-tune")
    album.rest(2)
    album.take("fine-tune")
    day.click("Fine-tune")
    day.wait(lambda: not panel.busy)
    album.take("fine-tune-verdict")
    album.take("fine-tune-light", "light")
    album.take("fine-tune-narrow", size=natural, dock=dock_of(panel))
    day.click("Compare")
    day.wait(lambda: "test images: new" in day.viewer.layers)
    album.take("fine-tune-compare")
    day.turn_to(reviewing, "Wave-GMS Review")
    day.click("Next")
    album.rest(3)
    album.take("review-after-fine-tuning")


def volume(album: Album, natural: tuple[int, int]) -> Any:
    """Wave-GMS Segment on a volume."""
    from napari_wavegms.samples import ultrasound_volume_sample

    day = album.day
    before = list(day.viewer.layers)
    for layer in before:
        layer.units = "mm"  # or napari warns of units that differ
    panel = day.open("Wave-GMS Segment")
    image, meta, _ = ultrasound_volume_sample()[0]
    # Sixteen bits, so that the grey values can be chosen.
    day.viewer.add_image(image.astype("uint16") * 16, **meta)
    album.remove(before)
    day.viewer.dims.set_current_step(0, len(image) // 2)
    day.click("all")
    day.click("Segment")
    day.wait(lambda: not panel.busy)
    album.rest(1.5)
    day.click("Measure")
    album.rest(1.5)
    album.take("segment-volume")
    album.take("segment-volume-narrow", size=natural, dock=dock_of(panel))
    return panel


def window_and_loop(album: Album, panel: Any) -> None:
    """Wave-GMS Segment on a made CT in a window of grey values, and on a loop that is carried on."""
    from qtpy.QtWidgets import QComboBox

    from napari_wavegms.samples import ultrasound_stack_sample

    day = album.day
    before = list(day.viewer.layers)
    day.viewer.add_image(
        made_ct(), name="made CT", axis_labels="zyx", scale=(3, 1, 1), units="mm", contrast_limits=(-45, 105)
    )
    album.remove(before)
    for field in panel.panel.findChildren(QComboBox):
        for row in range(field.count()):
            if field.itemText(row).startswith("CT liver"):
                field.setCurrentIndex(row)
                field.activated.emit(row)
    day.viewer.dims.set_current_step(0, 6)
    day.click("all")
    day.click("Segment")
    day.wait(lambda: not panel.busy)
    album.rest(1.5)
    album.take("segment-ct-window")
    before = list(day.viewer.layers)
    for layer in before:
        layer.units = "pixel"
    frames, meta, _ = ultrasound_stack_sample()[0]
    day.viewer.add_image(frames, **meta)
    album.remove(before)
    day.click("all")
    day.click("Segment")
    day.wait(lambda: not panel.busy)
    for number in (0, len(frames) // 2, len(frames) - 1):
        day.viewer.dims.set_current_step(0, number)
        mask = day.viewer.layers[-1]
        rows, columns = mask.data[number].nonzero()
        mask.brush_size = 14
        mask.paint((number, int(rows.mean()), int(columns.max())), 1)
        album.rest(0.5)
    day.click("Carry on")
    day.wait(lambda: panel.panel.carry_question.isVisible())
    album.rest(1.5)
    album.take("segment-carried-on")


def made_ct() -> Any:
    """A body of 40 HU with an organ of 70 HU, noise of 12 HU, and air."""
    rng = np.random.default_rng(0)
    slices, rows, columns = np.ogrid[-6:6, -100:100, -120:120]
    body = np.hypot(rows / 85, columns / 110) < 1
    organ = (slices / 7) ** 2 + ((rows + 10) / 38) ** 2 + ((columns + 35) / 48) ** 2 < 1
    return (np.where(organ, 70, np.where(body, 40, -1000)) + rng.normal(0, 12, organ.shape)).astype(np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images" / "panels", help="folder of the pictures")
    parser.add_argument("--images", type=Path, default=BUSI, help="folder of PNG images")
    options = parser.parse_args()
    os.environ["NAPARI_CONFIG"] = ""  # the user's settings of napari neither matter nor change
    options.to.mkdir(parents=True, exist_ok=True)
    for old in options.to.glob("*.png"):
        old.unlink()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["WAVEGMS_HOME"] = str(Path(temporary, "home"))
        folder = Path(temporary, "ultrasound")
        folder.mkdir()
        found = sorted(options.images.glob("*.png"))[: 7 * COUNT : 7] if options.images.is_dir() else []
        for file in found:
            shutil.copy(file, folder)
        if not found:
            from PIL import Image

            from napari_wavegms.samples import ultrasound_phantom

            for number in range(COUNT):
                Image.fromarray(ultrasound_phantom(number).image).save(folder / f"phantom_{number}.png")
        album = Album(Day(None, size=None), options.to)
        size = album.day.viewer.window._qt_window.size()
        natural = size.width(), size.height()
        print(f"napari's own size: {natural}", file=sys.stderr)
        segment(album, natural)
        fine_tune(album, natural, review(album, folder, natural))
        window_and_loop(album, volume(album, natural))
        total = sum(file.stat().st_size for file in options.to.glob("*.png"))
        print(f"{album.taken} pictures, {total / 1e6:.2f} MB", file=sys.stderr, flush=True)
        os._exit(0)


if __name__ == "__main__":
    main()
