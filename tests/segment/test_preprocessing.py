"""Any numeric image becomes the network's frame and comes back at its own size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.segment.preprocessing import (
    WINDOWS,
    Preprocessing,
    as_image,
    fit_frame,
    prepare,
    prepare_mask,
    restore,
    scale_intensity,
)

DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64")
SMALL = Preprocessing(size=16)

shapes = st.one_of(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 4])),
)
images = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


@settings(deadline=None, max_examples=150)
@given(image=images, aspect=st.sampled_from(["squash", "letterbox"]), margins=st.booleans())
def test_whatever_comes_the_frame_is_finite_in_0_to_1_and_the_way_back_has_its_size(image, aspect, margins) -> None:
    prepared = prepare(image, Preprocessing(size=16, aspect=aspect, margins=margins))
    assert prepared.pixels.shape == (3, 16, 16)
    assert prepared.pixels.dtype == np.float32
    assert np.isfinite(prepared.pixels).all()
    assert prepared.pixels.min() >= 0 <= 1 >= prepared.pixels.max()
    back = restore(prepared.pixels[0], prepared)
    assert back.shape == image.shape[:2]
    assert back.dtype == np.float32


def test_eight_bits_are_taken_as_they_are() -> None:
    image = np.array([[0, 51], [102, 255]], np.uint8)
    scaled, intensity = scale_intensity(image, (0.1, 99.9))
    np.testing.assert_allclose(scaled, [[0, 0.2], [0.4, 1]], atol=1e-7)
    assert intensity is None


def test_true_is_one() -> None:
    scaled, intensity = scale_intensity(np.array([[True, False]]), (0.1, 99.9))
    assert scaled.tolist() == [[1, 0]]
    assert intensity is None


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint32", "float16", "float32", "float64"])
def test_other_dtypes_are_scaled_by_their_percentiles(dtype: str) -> None:
    image = np.arange(101, dtype=dtype).reshape(1, 101) + 20
    scaled, intensity = scale_intensity(image, (10, 90))
    assert intensity == (30.0, 110.0)  # the 10th and 90th of 20, 21, …, 120
    assert scaled[0, [0, 10, 50, 90, 100]].tolist() == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(gain=st.floats(1e-3, 1e6), offset=st.floats(-1e6, 1e6), seed=st.integers(0, 99))
def test_gain_and_offset_of_a_float_image_do_not_matter(gain: float, offset: float, seed: int) -> None:
    image = np.random.default_rng(seed).random((9, 11))
    plain, _ = scale_intensity(image, (1, 99))
    changed, _ = scale_intensity(image * gain + offset, (1, 99))
    np.testing.assert_allclose(changed, plain, atol=1e-5)


def test_nan_is_dark_and_infinities_are_the_ends() -> None:
    image = np.array([[np.nan, -np.inf, np.inf, 2.0, 4.0]])
    scaled, intensity = scale_intensity(image, (0, 100))
    assert intensity == (2.0, 4.0)
    assert scaled.tolist() == [[0, 0, 1, 0, 1]]


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf, -np.inf, np.finfo(np.float64).max])
def test_a_constant_image_is_no_error(value: float) -> None:
    assert np.isfinite(prepare(np.full((5, 7), value), SMALL).pixels).all()


def test_the_widest_range_of_floats_does_not_overflow() -> None:
    big = np.finfo(np.float64).max
    scaled, _ = scale_intensity(np.array([[-big, 0, big]]), (0, 100))
    assert scaled[0].tolist() == pytest.approx([0, 0.5, 1])


def test_grey_is_repeated_and_transparent_pixels_lie_over_black() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    frame = prepare(grey, SMALL).pixels
    np.testing.assert_array_equal(frame[0], frame[2])
    alpha = np.where(np.arange(16) < 8, 255, 0).astype(np.uint8)
    rgba = np.dstack([grey, grey, grey, np.broadcast_to(alpha, grey.shape)])
    np.testing.assert_array_equal(
        prepare(rgba, SMALL).pixels, prepare(np.where(alpha, grey, 0).astype("u1"), SMALL).pixels
    )
    opaque = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    np.testing.assert_array_equal(prepare(opaque, SMALL).pixels, frame)
    np.testing.assert_array_equal(prepare(grey[..., None], SMALL).pixels, frame)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 5, 2)), "This image has 2 channels; Wave-GMS reads grey or RGB. Choose one channel."),
        (np.zeros((3, 4, 5, 3)), "one plane"),
        (np.zeros(7), "one plane"),
        (np.zeros((0, 5)), "no pixels"),
        (np.zeros((4, 5), complex), "complex128 values"),
        (np.array([["a"]]), "values; Wave-GMS reads real numbers"),
        (np.array([[None]]), "object values"),
    ],
)
def test_what_is_no_image_gets_a_sentence(image: np.ndarray, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        as_image(image)


def test_letterbox_keeps_the_aspect_ratio_by_hand() -> None:
    rules = Preprocessing(size=64, aspect="letterbox")
    assert fit_frame((100, 200), rules) == (16, 0, 32, 64)
    assert fit_frame((200, 100), rules) == (0, 16, 64, 32)
    assert fit_frame((1, 1000), rules) == (31, 0, 1, 64)
    frame = prepare(np.full((100, 200), 255, np.uint8), rules).pixels[0]
    assert frame.sum() == pytest.approx(32 * 64)


@pytest.mark.parametrize("aspect", ["squash", "letterbox"])
def test_a_structure_keeps_its_place_there_and_back(aspect: str) -> None:
    image = np.zeros((60, 90), np.uint8)
    image[20:40, 30:75] = 255
    rules = Preprocessing(size=48, aspect=aspect)  # type: ignore[arg-type]
    prepared = prepare(image, rules)
    back = restore(prepared.pixels[0], prepared) >= 0.5
    assert (back != (image > 0)).mean() < 0.02
    framed = prepare_mask(image, rules)
    assert (framed != (prepared.pixels[0] >= 0.5)).mean() < 0.02


def test_a_mask_in_its_own_size_is_untouched() -> None:
    mask = np.random.default_rng(0).random((16, 16)) > 0.5
    np.testing.assert_array_equal(prepare_mask(mask, SMALL), mask)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": 100}, "multiple of 8"),
        ({"size": 0}, "multiple of 8"),
        ({"aspect": "crop"}, "'squash' or 'letterbox'"),
        ({"percentiles": (50, 50)}, "ascend"),
        ({"window": (80, 0)}, "window is 80 to 0; it must ascend"),
    ],
)
def test_rules_that_cannot_be_followed(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Preprocessing(**settings)  # type: ignore[arg-type]


def test_rules_survive_the_card() -> None:
    rules = Preprocessing(size=96, aspect="letterbox", percentiles=(1, 99))
    assert Preprocessing.from_dict(rules.as_dict()) == rules
    assert list(rules.as_dict()) == ["size", "aspect", "percentiles"]  # as they were before there were others
    windowed = Preprocessing(window=(-150, 250), margins=True)
    assert Preprocessing.from_dict(windowed.as_dict()) == windowed


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_with_a_window_the_same_hu_is_the_same_grey_in_all_slices(dtype: type) -> None:
    rng = np.random.default_rng(0)
    rules = Preprocessing(size=32, window=WINDOWS["soft-tissue"])
    for brightest in (300, 3000):  # a slice of muscle, and one with bone in it
        image = rng.integers(-1000, brightest, (32, 32)).astype(dtype)
        image[4], image[5], image[6] = 40, -1000, 900
        prepared = prepare(image, rules)
        np.testing.assert_allclose(prepared.pixels[:, 4], (40 + 150) / 400, rtol=1e-6)
        assert (prepared.pixels[:, 5] == 0).all()
        assert (prepared.pixels[:, 6] == 1).all()
        assert prepared.intensity == (-150, 250)


def test_a_window_leaves_pictures_of_eight_bits_alone() -> None:
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    plain, windowed = (prepare(picture, Preprocessing(size=16, window=window)) for window in (None, (0.0, 80.0)))
    np.testing.assert_array_equal(windowed.pixels, plain.pixels)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("percentiles", [(0.1, 99.9), (0.0, 100.0), (25.0, 50.0)])
def test_few_levels_are_scaled_as_all_other_numbers(dtype: type, percentiles: tuple[float, float]) -> None:
    ends = np.iinfo(dtype)
    for seed, shape in enumerate([(1, 1), (3, 5), (600, 40), (300, 7, 3)]):
        image = np.random.default_rng(seed).integers(ends.min // 3, ends.max, shape, dtype)
        for pixels in (image, np.full_like(image, 7)):
            scaled, intensity = scale_intensity(pixels, percentiles)
            expected, wide = scale_intensity(pixels.astype(np.int32), percentiles)
            assert intensity == pytest.approx(wide, rel=1e-12)
            np.testing.assert_allclose(scaled, expected, atol=1e-6)


class Lazy:
    """Planes that count how often one is read."""

    def __init__(self, planes: NDArray[Any]) -> None:
        self.planes, self.read = planes, 0

    def __len__(self) -> int:
        return len(self.planes)

    def __getitem__(self, number: int) -> NDArray[Any]:
        self.read += 1
        return np.asarray(self.planes[number])


def test_percentiles_of_a_volume_make_the_same_value_the_same_grey_in_all_slices() -> None:
    volume = np.random.default_rng(0).normal(0, 100, (200, 20, 30)).astype(np.float32)
    volume[::2] *= 5  # every other slice has a wider range
    volume[:, 4, 5] = 40
    rules = Preprocessing(size=32, of_volume=True)
    planes = Lazy(volume)
    its = rules.for_volume(planes)
    assert planes.read == 64
    low, high = np.percentile(volume, (0.1, 99.9))
    assert its.window == pytest.approx((low, high), rel=0.1)
    greys = {round(float(scale_intensity(plane, its.percentiles, its.window)[0][4, 5]), 6) for plane in volume[:10]}
    assert len(greys) == 1
    assert Preprocessing.from_dict(rules.as_dict()) == rules
    assert rules.with_window((0, 80)).for_volume(planes).window == (0, 80)
    for unchanged in (Preprocessing(size=32).for_volume(planes), rules.for_volume(None), rules.for_volume(volume[:1])):
        assert unchanged.window is None
    assert rules.for_volume(np.zeros((3, 4, 4), np.uint8)) == rules
