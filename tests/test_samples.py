"""The phantoms: what a first-time user sees, and the truth that goes with it."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from napari_wavegms import samples
from napari_wavegms.errors import InputError
from napari_wavegms.samples import Phantom, skin_lesion_phantom, ultrasound_phantom, ultrasound_stack, ultrasound_volume

Maker = Callable[..., Phantom]
MAKERS: list[Maker] = [ultrasound_phantom, skin_lesion_phantom]
SEEDS = range(6)


@cache
def made(maker: Maker, seed: int) -> Phantom:
    return maker(seed)


def grey(phantom: Phantom) -> np.ndarray:
    image = phantom.image.astype(float)
    return image.mean(axis=-1) if image.ndim > phantom.mask.ndim else image


def ring(mask: np.ndarray, width: int) -> np.ndarray:
    """What lies within `width` pixels outside."""
    return ndimage.binary_dilation(mask, iterations=width) & ~mask


@pytest.mark.parametrize("maker", MAKERS)
def test_the_seed_decides_every_pixel(maker: Maker) -> None:
    one, same, other = maker(seed=3), maker(seed=3), maker(seed=4)
    assert np.array_equal(one.image, same.image)
    assert np.array_equal(one.mask, same.mask)
    assert not np.array_equal(one.image, other.image)
    assert not np.array_equal(one.mask, other.mask)


@pytest.mark.parametrize("shape", [(256, 320), (100, 70), (32, 32)])
def test_shapes_and_dtypes(shape: tuple[int, int]) -> None:
    for phantom, colours in [(ultrasound_phantom(1, shape), ()), (skin_lesion_phantom(1, shape), (3,))]:
        assert phantom.image.shape == (*shape, *colours)
        assert phantom.mask.shape == shape
        assert phantom.image.dtype == phantom.mask.dtype == np.uint8
        assert set(np.unique(phantom.mask)) == {0, 1}


@pytest.mark.parametrize(
    ("maker", "least", "most"), [(ultrasound_phantom, 0.05, 0.15), (skin_lesion_phantom, 0.08, 0.25)]
)
def test_the_lesion_is_one_piece_of_common_size_away_from_the_border(maker: Maker, least: float, most: float) -> None:
    for seed in SEEDS:
        mask = made(maker, seed).mask.astype(bool)
        assert least <= mask.mean() <= most
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        assert np.array_equal(ndimage.binary_fill_holes(mask), mask)
        assert np.count_nonzero(mask[1:-1, 1:-1]) == np.count_nonzero(mask)


@pytest.mark.parametrize(("maker", "contrast"), [(ultrasound_phantom, 35), (skin_lesion_phantom, 45)])
def test_the_mask_is_the_dark_lesion(maker: Maker, contrast: float) -> None:
    for seed in SEEDS:
        phantom = made(maker, seed)
        mask, image = phantom.mask.astype(bool), grey(phantom)
        assert image[ring(mask, 12)].mean() - image[mask].mean() > contrast


@pytest.mark.parametrize("maker", MAKERS)
def test_the_edge_of_the_mask_is_the_edge_in_the_image(maker: Maker) -> None:
    for seed in SEEDS:
        phantom = made(maker, seed)
        mask, image = phantom.mask.astype(bool), grey(phantom)
        smaller, larger = ndimage.binary_erosion(mask, iterations=6), ndimage.binary_dilation(mask, iterations=6)
        steps = [image[ring(m, 3)].mean() - image[ring(~m, 3)].mean() for m in (smaller, mask, larger)]
        assert steps[1] > 1.5 * max(steps[0], steps[2])


def test_the_ultrasound_is_speckle_that_fades_with_depth() -> None:
    images = np.stack([made(ultrasound_phantom, seed).image.astype(float) for seed in SEEDS])
    profile = images.mean(axis=(0, 2))
    assert profile[30:150].mean() > 1.5 * profile[200:].mean()
    # Fully developed speckle has a spread of 5.57 dB in every tissue, whatever its brightness; three looks
    # and the smooth display leave about half of it.
    grain = images - ndimage.gaussian_filter(images, (0, 4, 4))
    decibels = grain[:, 30:120, :40].std() * samples.DYNAMIC_RANGE / 255
    assert 5.57 / math.sqrt(samples.LOOKS) * 0.7 < decibels < 5.57
    along, across = (np.mean(grain[:, :-2, :-2] * there) for there in (grain[:, :-2, 2:], grain[:, 2:, :-2]))
    assert along > 1.5 * across > 0


def test_the_skin_is_skin_and_the_mole_is_brown() -> None:
    for seed in SEEDS:
        phantom = made(skin_lesion_phantom, seed)
        mask = phantom.mask.astype(bool)
        skin, mole = phantom.image[~mask].mean(axis=0), phantom.image[mask].mean(axis=0)
        assert skin[0] > skin[1] > skin[2]
        # Melanin takes more of the blue than of the red.
        assert np.all(np.diff(mole / skin) < 0)
        assert phantom.image[mask].std(axis=0).min() > 10


def test_a_cine_starts_with_the_phantom_and_moves_gently() -> None:
    cine, still = ultrasound_stack(frames=6, shape=(128, 160), seed=2), ultrasound_phantom(2, (128, 160))
    assert cine.image.shape == cine.mask.shape == (6, 128, 160)
    assert np.array_equal(cine.image[0], still.image)
    assert np.array_equal(cine.mask[0], still.mask)
    for before, after in zip(cine.mask[:-1], cine.mask[1:], strict=True):
        overlap = 2 * (before & after).sum() / (before.sum() + after.sum())
        assert 0.8 < overlap < 1.0
    for frame, mask in zip(cine.image, cine.mask.astype(bool), strict=True):
        assert frame[ring(mask, 6)].mean() - frame[mask].mean() > 25
    # The outline deforms: frames are not the first one moved about.
    extents = {tuple(np.ptp(np.argwhere(mask), axis=0).tolist()) for mask in cine.mask}
    assert len(extents) > 2


def test_a_swept_lesion_grows_and_shrinks_within_the_volume() -> None:
    volume = ultrasound_volume(slices=16, shape=(64, 64), seed=1)
    areas = volume.mask.sum(axis=(1, 2)).astype(int)
    assert areas[:3].sum() == areas[-3:].sum() == 0
    assert ndimage.label(volume.mask)[1] == 1
    growing = np.diff(areas[: int(areas.argmax()) + 1])
    assert (growing >= 0).all()
    assert (np.diff(areas[int(areas.argmax()) :]) <= 0).all()
    assert areas.max() > 4 * areas[areas > 0].min()
    # From slice to slice the speckle is another one.
    first, second = (slice_[:30, :20].astype(float).ravel() for slice_ in volume.image[:2])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.95


@pytest.mark.parametrize(
    ("sample", "axes", "rgb"),
    [
        (samples.ultrasound_sample, ("y", "x"), False),
        (samples.ultrasound_stack_sample, ("t", "y", "x"), False),
        (samples.ultrasound_volume_sample, ("z", "y", "x"), False),
        (samples.skin_lesion_sample, ("y", "x"), True),
    ],
)
def test_samples_are_an_image_layer_and_its_truth(sample: Callable[[], list], axes: tuple[str, ...], rgb: bool) -> None:
    (image, about, kind), (mask, about_mask, mask_kind) = sample()
    assert (kind, mask_kind) == ("image", "labels")
    assert image.shape[: len(axes)] == mask.shape
    assert about["axis_labels"] == about_mask["axis_labels"] == axes
    assert about["rgb"] is rgb
    assert about_mask["name"] == about["name"] + "_truth"
    assert "synthetic" in about["metadata"]["source"]


@pytest.mark.parametrize("maker", [*MAKERS, ultrasound_stack, ultrasound_volume])
def test_wishes_that_cannot_be_met(maker: Maker) -> None:
    with pytest.raises(InputError, match=r"seed is -1; give a whole number from 0"):
        maker(seed=-1)
    with pytest.raises(InputError, match=r"seed is 0\.5"):
        maker(seed=0.5)
    with pytest.raises(InputError, match=r"at least 32; the shape is \(31, 64\)"):
        maker(shape=(31, 64))
    with pytest.raises(InputError, match=r"rows and columns.*\(64,\)"):
        maker(shape=(64,))


@pytest.mark.parametrize("frames", [0, -3, 1.5, None])
def test_a_cine_has_a_whole_number_of_frames(frames) -> None:
    with pytest.raises(InputError, match=r"number of frames is .*; give a whole number from 1"):
        ultrasound_stack(frames=frames)


def test_phantoms_need_neither_torch_nor_napari() -> None:
    program = (
        "import sys; from napari_wavegms import samples; "
        "assert 'scipy' not in sys.modules; "
        "samples.ultrasound_sample(); samples.skin_lesion_sample(); "
        "assert not {'torch', 'napari', 'qtpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
