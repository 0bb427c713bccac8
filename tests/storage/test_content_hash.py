"""Fingerprints of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.storage.content_hash import canonical, content_hash

numbers = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes(sizes=(16, 32, 64))
)
arrays = hnp.arrays(numbers, hnp.array_shapes(max_dims=3, max_side=4))


@given(array=arrays)
def test_layout_and_byte_order_do_not_matter(array: NDArray[Any]) -> None:
    wanted = content_hash(array)
    swapped = array.astype(array.dtype.newbyteorder())
    strided = np.zeros((*array.shape, 2), array.dtype)
    strided[..., 1] = array
    assert {content_hash(same) for same in (np.asfortranarray(array), swapped, strided[..., 1])} == {wanted}


@given(array=arrays)
def test_dtype_shape_and_every_bit_matter(array: NDArray[Any]) -> None:
    other_dtype = array.view({1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}[array.itemsize])
    flipped = canonical(array).copy()
    flipped.view(np.uint8).reshape(-1)[-1] ^= 1
    others = [array[None], flipped, *([other_dtype] if other_dtype.dtype != array.dtype.newbyteorder("=") else [])]
    assert content_hash(array) not in {content_hash(other) for other in others}


def test_the_fingerprint_is_the_same_everywhere_and_for_ever() -> None:
    # BLAKE2b-128 of "<u2(2, 3)" and the twelve bytes, worked out apart from the code.
    assert content_hash(np.arange(6, dtype=">u2").reshape(2, 3)) == "8d1deb6907e56ed596abc6d3dd9e908a"


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j]), np.array([None]), np.array(["2026"], "M8[Y]")])
def test_what_is_not_a_plain_number_is_refused(array: NDArray[Any]) -> None:
    with pytest.raises(InputError, match="real numbers of at most 64 bits"):
        content_hash(array)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize <= 8, reason="long doubles are plain doubles here")
def test_padded_floats_are_refused() -> None:
    with pytest.raises(InputError, match="real numbers of at most 64 bits"):
        content_hash(np.ones(3, np.longdouble))
