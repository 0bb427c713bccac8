"""Haar bands: equal to PyWavelets, invertible, and a case worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wavegms.errors import InputError
from napari_wavegms.model.wavelets import haar_bands, haar_step


@settings(deadline=None, max_examples=40)
@given(
    level=st.integers(1, 4),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    channels=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_coarsest_level_is_that_of_pywavelets(
    level: int, rows: int, columns: int, channels: int, seed: int
) -> None:
    shape = (channels, rows * 2**level, columns * 2**level)
    image = np.random.default_rng(seed).random(shape)
    approximation, details, *_ = pywt.wavedec2(image, "haar", level=level, axes=(-2, -1))
    expected = np.concatenate([approximation, *details]) / 2**level
    ours = haar_bands(torch.from_numpy(image)[None], level)[0].numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("size", [2, 6, 10, 14, 226])
def test_any_even_size_has_a_first_level(size: int) -> None:
    image = np.random.default_rng(size).random((3, size, size + 2))
    approximation, details = pywt.dwt2(image, "haar")
    ours = haar_bands(torch.from_numpy(image)[None], 1)[0].numpy()
    np.testing.assert_allclose(ours, np.concatenate([approximation, *details]) / 2, atol=1e-6)


def test_one_block_by_hand() -> None:
    block = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    # mean 12/2; rows: (3 - 9)/2; columns: (4 - 8)/2; diagonal: (1 + 6 - 2 - 3)/2
    assert haar_step(block).flatten().tolist() == pytest.approx([6.0, -3.0, -2.0, 1.0])


def test_a_step_keeps_the_energy() -> None:
    image = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    assert haar_step(image).square().sum().item() == pytest.approx(image.square().sum().item(), rel=1e-5)


def test_a_side_that_cannot_be_halved_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="12 x 20 pixels; 3 Haar levels need sides that are multiples of 8"):
        haar_bands(torch.zeros(1, 3, 12, 20), 3)
