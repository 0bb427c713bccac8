"""Native detail finds small structures where they are, leaves large ones, and reads windows only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from napari_wavegms.learn.metrics import dice
from napari_wavegms.segment.preprocessing import Preprocessing, prepare, restore
from napari_wavegms.segment.refine import FineProbability, Pyramid, refine

SIZE = 128


class Brightness:
    """A model that sees what is bright, in a working frame of 128 cells."""

    preprocessing = Preprocessing(size=SIZE)
    detail = "native"

    def predict(self, prepared: Any) -> tuple[Any, Callable[[Any], Any]]:
        def sharpened(frames: Any) -> Any:
            return np.clip(40 * (frames - np.float32(0.5)) + np.float32(0.5), 0, 1)

        return sharpened(prepared.pixels[0]), lambda frames: sharpened(frames[:, 0])


def discs(
    diameter: int, *centres: tuple[int, int], side: int = 2048, dtype: str = "uint8"
) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.ogrid[:side, :side]
    mask = np.zeros((side, side), bool)
    for row, column in centres:
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= (diameter / 2) ** 2
    return (mask * 255).astype(dtype), mask


def found_in(image: np.ndarray, **more: Any) -> FineProbability:
    return refine(Brightness(), [image], **more)  # type: ignore[arg-type]


def test_discs_too_small_for_the_frame_are_found_where_they_are() -> None:
    image, truth = discs(24, (400, 300), (210, 860), (700, 90))
    found = found_in(image)
    assert dice(found.whole >= 0.5, truth) < 0.8
    assert dice(found.full() >= 0.5, truth) > 0.97


def test_tiles_find_what_the_whole_image_does_not_show() -> None:
    image, truth = discs(12, (510, 333))
    found = found_in(image)
    assert found.whole.max() < 0.5
    assert dice(found.full() >= 0.5, truth) > 0.9


def test_a_structure_as_large_as_in_any_ordinary_image_stays_as_it_was() -> None:
    image, _ = discs(900, (1000, 1000))
    runs: list[int] = []
    found = found_in(image, on_window=lambda done, known: runs.append(known))
    assert not runs
    prepared = prepare(image, Brightness.preprocessing)
    np.testing.assert_array_equal(found.full(), restore(Brightness().predict(prepared)[0], prepared))


def test_black_and_white_are_those_of_the_whole_image() -> None:
    image, truth = discs(24, (400, 300), dtype="uint16")
    image[:200, :200] = 5000  # white; the disc is a twentieth of it, and black
    found = found_in(image)
    assert found.intensity == (0, 5000)
    assert found.full()[truth].max() < 0.1


def test_where_all_pixels_are_alike_nothing_is_found() -> None:
    found = found_in(np.full((900, 900), 200, np.uint8))
    assert found.is_uniform
    assert not found.full().any()


def test_an_image_of_one_value_but_for_a_few_pixels_is_black() -> None:
    image = np.zeros((900, 900), np.uint16)
    image[3, 4] = 9  # above the 99.9 percentile
    found = found_in(image)
    assert found.intensity == (0, 0)
    assert not found.patches


def test_any_part_in_any_resolution_is_what_the_whole_has_there() -> None:
    image, _ = discs(24, (400, 300), (210, 860))
    found = found_in(image)
    rows, columns = np.arange(150, 260), np.arange(4, 2048, 8)
    np.testing.assert_allclose(found.probability(rows, columns), found.full()[np.ix_(rows, columns)], atol=1e-6)


def test_no_seam_shows_where_a_window_ends() -> None:
    image, _ = discs(24, (400, 300))
    full = found_in(image).full()
    box, _ = found_in(image).patches[-1]
    for row in (box.top, box.bottom):
        assert np.abs(full[row, box.columns] - full[row - 1, box.columns]).max() < 0.1


@dataclass
class Counting:
    """An array that counts the pixels that are read."""

    array: np.ndarray
    read: int = 0

    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self.array[index]
        self.read += part.size
        return part


def test_of_a_pyramid_only_windows_of_the_fitting_level_are_read() -> None:
    image, truth = discs(24, (400, 300), (700, 90))
    levels = [Counting(image[:: 2**n, :: 2**n]) for n in range(4)]
    found = refine(Brightness(), levels)  # type: ignore[arg-type]
    assert dice(found.full() >= 0.5, truth) > 0.97
    assert levels[3].read >= levels[3].array.size
    assert levels[0].read < image.size / 4


def test_of_a_stack_of_pyramids_the_plane_in_turn_is_read_in_windows() -> None:
    image, truth = discs(24, (400, 300), (700, 90))
    empty = np.zeros_like(image)
    levels = [Counting(np.stack([empty[:: 2**n, :: 2**n], image[:: 2**n, :: 2**n]])) for n in range(4)]
    levels[3].array = levels[3].array[1:]  # a coarser level may have fewer slices
    pyramid = Pyramid(levels)
    assert pyramid.shape == (2, 2048, 2048)
    found = refine(Brightness(), pyramid[1, slice(None), slice(None)])  # type: ignore[arg-type]
    assert dice(found.full() >= 0.5, truth) > 0.97
    assert levels[0].read < image.size / 4
    assert np.asarray(pyramid[1, slice(None), slice(None)]).shape == (512, 512)


def test_what_is_told_of_the_windows_may_stop_them() -> None:
    def stop(done: int, known: int) -> None:
        assert 0 < done <= known
        raise InterruptedError

    with pytest.raises(InterruptedError):
        found_in(discs(24, (400, 300))[0], on_window=stop)
