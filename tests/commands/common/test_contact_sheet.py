"""Contact sheets: outlines where the masks end, told apart without colours, and every tile in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_wavegms.commands.common.pictures import (
    COLUMNS,
    LABEL_COLOR,
    TILE,
    TRUTH_COLOR,
    Section,
    Tile,
    dashes,
    make_tile,
    write_contact_sheet,
)
from napari_wavegms.errors import InputError

BLACK = np.zeros((TILE, TILE), np.uint8)
DISC = np.hypot(*(np.indices(BLACK.shape) - 128)) < 60


def painted(tile: Tile, color: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray((np.asarray(tile.picture) == color).all(axis=-1))


def near(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Pixels that lie at most so far from the mask's outline."""
    outside, inside = (ndimage.distance_transform_edt(side) for side in (~mask, mask))
    return np.asarray(np.maximum(outside, inside) <= pixels)


def test_the_outline_closes_around_the_prediction_and_touches_nothing_else() -> None:
    tile = make_tile(BLACK, DISC, np.zeros_like(DISC))
    line = painted(tile, LABEL_COLOR)
    assert not (line & ~near(DISC, 2)).any()
    pieces, count = ndimage.label(~line)
    assert count == 2, "a closed line parts the picture in two"
    assert pieces[128, 128] != pieces[0, 0]
    assert not painted(tile, TRUTH_COLOR).any()


def test_the_truth_is_dashed_so_that_a_grey_print_tells_it_apart() -> None:
    tile = make_tile(BLACK, np.zeros_like(DISC), DISC)
    line = painted(tile, TRUTH_COLOR)
    assert not (line & ~near(DISC, 2)).any()
    assert ndimage.label(line, np.ones((3, 3)))[1] == pytest.approx(2 * np.pi * 60 / 12, abs=2)


def test_where_both_agree_both_are_seen() -> None:
    tile = make_tile(BLACK, DISC, DISC)
    shown = [int(painted(tile, color).sum()) for color in (LABEL_COLOR, TRUTH_COLOR)]
    assert min(shown) > sum(shown) / 4


def test_a_mask_at_the_border_is_outlined_there_too() -> None:
    left = np.zeros_like(DISC)
    left[:, :50] = True
    line = painted(make_tile(BLACK, left, left & False), LABEL_COLOR)
    assert line[128, 49:52].any()
    assert line[:, :2].any()


@pytest.mark.parametrize("shape", [(30, 60), (60, 30), (1, 900), (700, 700)])
def test_tiles_keep_the_proportions_of_their_image(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, bool)
    mask[: shape[0] // 2 + 1, : shape[1] // 2 + 1] = True
    tile = make_tile(np.full(shape, 90, np.uint8), mask, mask)
    scale = TILE / max(shape)
    assert tile.picture.size == (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    assert max(tile.picture.size) == TILE


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(5, 5\) does not fit an image of \(256, 256\)"):
        make_tile(BLACK, np.zeros((5, 5)), DISC)


def test_dashes_are_as_long_as_the_line_but_for_the_pauses() -> None:
    angle = np.linspace(0, 2 * np.pi, 400)
    circle = list(zip(100 * np.cos(angle), 100 * np.sin(angle), strict=True))
    found = dashes(circle)
    lengths = [np.hypot(*np.diff(np.array(dash), axis=0).T).sum() for dash in found]
    assert len(found) == int(np.ceil(2 * np.pi * 100 / 12))
    assert lengths[:-1] == pytest.approx([7] * (len(found) - 1), rel=1e-3)


def test_every_tile_is_on_the_sheet_under_its_heading(tmp_path: Path) -> None:
    greys = [40 + 10 * number for number in range(COLUMNS + 2)]
    tiles = tuple(Tile(Image.new("RGB", (TILE, 100), (grey,) * 3), (f"scan {grey}", "DSC 0.5")) for grey in greys)
    sections = [Section("The worst", tiles), Section("The best", tiles[:1])]
    path = write_contact_sheet(tmp_path / "sheet.png", "tiny on 8 images", sections)
    with Image.open(path) as image:
        sheet = np.asarray(image)
    areas = [int((sheet == grey).all(axis=-1).sum()) for grey in greys]
    assert areas[1:] == pytest.approx([TILE * 100] * (len(greys) - 1), rel=0.01)
    assert areas[0] == pytest.approx(2 * TILE * 100, rel=0.01)
    rows = [int(np.nonzero((sheet == grey).all(axis=-1).sum(axis=1) > TILE // 2)[0][0]) for grey in greys[1:]]
    assert rows[: COLUMNS - 1] == [rows[0]] * (COLUMNS - 1)
    assert rows[COLUMNS - 1] > rows[0] + TILE


def test_long_names_do_not_run_into_the_next_tile(tmp_path: Path) -> None:
    picture = Image.new("RGB", (TILE, TILE), (90, 90, 90))
    section = [Section("All", (Tile(picture, ("a name without end " * 30,)), Tile(picture, ("",))))]
    with Image.open(write_contact_sheet(tmp_path / "sheet.png", "", section)) as image:
        sheet = np.asarray(image.convert("L"))
    bottom = int(np.nonzero(sheet == 90)[0].max())
    under_the_second = sheet[bottom + 1 :, 12 + TILE + 12 :]
    assert (sheet[bottom + 1 :, :TILE] < 128).any()
    assert (under_the_second > 250).all()


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_contact_sheet(tmp_path / "file" / "sheet.png", "", [])
