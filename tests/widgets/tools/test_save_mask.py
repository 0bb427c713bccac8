"""Where a mask is offered to be saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_wavegms.widgets.tools.save_mask import suggested_path, with_suffix


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("benign_12", "/data/benign_12.png", "/data/benign_12_mask.tif"),
        ("x", "/data/scan.v2.tif", "/data/scan.v2_mask.tif"),
        ("x", "/data/brain.nii.gz", "/data/brain_mask.nii.gz"),
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


@pytest.mark.parametrize("source", ["http://host/x/scan.png", "https:/host/scan.png"])
def test_a_web_address_is_no_folder(source: str) -> None:
    assert suggested_path("scan", source, Path("/here")) == Path("/here/scan_mask.tif")
