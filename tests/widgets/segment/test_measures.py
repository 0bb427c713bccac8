"""Measurements in the panel are those of the command, and follow the mask."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication

from napari_wavegms.commands.measure import measured
from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.spacing import Spacing


def table(desk: Any) -> list[list[str]]:
    """What the table shows, headings first."""
    shown = desk.field("Measurements")
    heads = [shown.horizontalHeaderItem(column).text() for column in range(shown.columnCount())]
    cells = [[shown.item(row, column).text() for column in range(len(heads))] for row in range(shown.rowCount())]
    return [heads, *cells]


def measure(desk: Any, rows: int) -> list[list[str]]:
    desk.button("Measure").click()
    desk.qtbot.waitUntil(lambda: len(table(desk)) == rows + 1)
    return table(desk)


@pytest.mark.parametrize("frames", [None, 2])
def test_table_features_and_csv_have_the_figures_of_the_command(
    desk: Any, disc: np.ndarray, tmp_path: Path, frames: int | None
) -> None:
    pixels = disc if frames is None else np.stack([disc] * frames)
    sizes, axes = ((0.5, 0.25), "YX") if frames is None else ((2.0, 0.5, 0.25), "ZYX")
    image = desk.viewer.add_image(pixels, name="scan", scale=sizes, units="mm", axis_labels=tuple(axes.lower()))
    if frames is not None:
        desk.every_frame()
    desk.run()
    desk.mask.data[..., 2:4, 2:9] = 2
    shown = measure(desk, 2)
    write_mask(tmp_path / "scan_mask.tif", desk.mask.data, Spacing(sizes, "mm"), axes)
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "scan.tif", image.data, photometric="minisblack")
    told = measured(tmp_path / "scan_mask.tif", [tmp_path / "images" / "scan.tif"])
    size = "area" if frames is None else "volume"
    assert shown[0][2] == f"{size} (mm{'²' if frames is None else '³'})"
    assert [float(row[2]) for row in shown[1:]] == pytest.approx([row[size] for row in told], rel=1e-5)
    features = desk.mask.features.set_index("index")
    for row in told:
        of_label = features.loc[row["label"]]
        assert of_label[f"{size} (mm{'²' if frames is None else '³'})"] == row[size]
        assert (of_label["diameter (mm)"], of_label["across (mm)"]) == (row["diameter"], row["across"])
        assert of_label["mean"] == row["mean"]
    desk.panel.measure_fold.pressed.emit("copy")
    assert [line.split("\t") for line in QApplication.clipboard().text().split("\n")] == shown
    desk.widget.save_table(tmp_path / "sizes.csv")
    (first, _) = csv.DictReader((tmp_path / "sizes.csv").read_text(encoding="utf-8-sig").splitlines())
    assert (first["mask"], first["unit"]) == ("scan mask", "mm")
    assert float(first[size]) == pytest.approx(told[0][size], rel=1e-5)


def test_a_small_mask_is_measured_again_after_a_stroke_and_names_stay(desk: Any, disc: np.ndarray) -> None:
    desk.viewer.add_image(disc, name="scan")
    desk.run()
    desk.mask.features = {"index": [0, 1], "name": ["background", "lesion"], "area": [2300, 0.5]}
    pixels = int((disc == 200).sum())
    assert measure(desk, 1)[1][1:3] == [str(pixels), str(pixels)]
    assert desk.says("figures are in pixels")
    assert desk.mask.features["name"].tolist() == ["background", "lesion"]
    assert desk.mask.features["area"].tolist() == [2300, 0.5]  # somebody else's
    desk.mask.data_setitem((np.array([0]), np.array([0])), 1)
    desk.qtbot.waitUntil(lambda: len(table(desk)) == 4)  # a label of two pieces
    assert [row[1] for row in table(desk)[1:]] == ["all", "1", "2"]
    assert table(desk)[1][2] == str(pixels + 1)
    assert desk.mask.features["pixels"].tolist()[1] == pixels + 1


def test_a_mask_of_very_many_pieces_shows_the_first_and_keeps_all(desk: Any, tmp_path: Path) -> None:
    grid = np.zeros((80, 64), np.uint8)
    grid[::3, ::3] = 255  # 27 x 22 dots
    desk.viewer.add_image(grid, name="dots")
    desk.run()
    assert len(measure(desk, 500)) == 501
    assert desk.says("The first 500 of 595 rows; Copy and Save CSV… have all. The size of a pixel is unknown")
    desk.panel.measure_fold.pressed.emit("copy")
    assert len(QApplication.clipboard().text().split("\n")) == 596
    desk.widget.save_table(tmp_path / "sizes.csv")
    assert len((tmp_path / "sizes.csv").read_text().splitlines()) == 596
