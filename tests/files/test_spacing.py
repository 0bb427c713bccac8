"""Spacing: units by their many names, conversion there and back, and what is no spacing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.errors import InputError
from napari_wavegms.files.spacing import Spacing, from_dots_per_inch, normal_unit

sizes = st.floats(1e-6, 1e6)
lengths = st.sampled_from(["nm", "um", "mm", "cm", "m", "inch"])


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("micron", "um"),
        ("µm", "um"),
        ("\\u00B5m", "um"),
        ("Micrometres", "um"),
        ("millimeter", "mm"),
        ("inches", "inch"),
        ("pixels", "pixel"),
        ("", "pixel"),
        ("parsec", "parsec"),
    ],
)
def test_units_have_one_short_name(name: str, short: str) -> None:
    assert normal_unit(name) == short


def test_millimetres_in_other_units() -> None:
    assert Spacing((2.0, 0.3, 0.5), "mm").in_unit("um").size == (2000.0, 300.0, 500.0)
    assert Spacing((2.54, 2.54), "cm").in_unit("inch").size == pytest.approx((1.0, 1.0))


@given(sizes, sizes, lengths, lengths)
def test_there_and_back_is_the_same(rows: float, columns: float, unit: str, other: str) -> None:
    spacing = Spacing((rows, columns), unit)
    assert spacing.in_unit(other).in_unit(unit).size == pytest.approx(spacing.size, rel=1e-12)


@pytest.mark.parametrize("size", [(0.0, 1.0), (1.0, -1.0), (1.0, math.nan), (math.inf, 1.0)])
def test_sizes_are_positive_and_finite(size: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="Give finite numbers above zero"):
        Spacing(size, "mm")
    assert Spacing.plausible(size, "mm") is None


def test_one_size_is_not_enough() -> None:
    with pytest.raises(InputError, match=r"has 1 sizes\. Give \(row, column\)"):
        Spacing((1.0,), "mm")


def test_pixels_are_no_length() -> None:
    with pytest.raises(InputError, match="'pixel' cannot be converted to 'mm'"):
        Spacing((1.0, 1.0), "pixel").in_unit("mm")


def test_a_plane_has_the_last_two_sizes_of_its_volume() -> None:
    assert Spacing((2.0, 0.3, 0.5), "mm").last(2) == Spacing((0.3, 0.5), "mm")


def test_screen_and_printer_resolutions_are_no_spacing() -> None:
    assert from_dots_per_inch(72.009, 72.009) is None
    assert from_dots_per_inch(300, 300) is None
    spacing = from_dots_per_inch(254, 127)
    assert spacing is not None
    assert spacing.size == pytest.approx((0.2, 0.1))
