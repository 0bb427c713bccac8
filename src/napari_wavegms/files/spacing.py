"""The physical size of a pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_wavegms.errors import InputError

PIXEL = "pixel"

_PER_METRE = {"nm": 1e9, "um": 1e6, "mm": 1e3, "cm": 1e2, "m": 1.0, "inch": 1 / 0.0254}
_NAMES = {
    "nm": ("nanometer", "nanometre"),
    # ImageJ escapes its micro sign in a TIFF description; the others are the micro sign and the Greek letter.
    "um": ("micron", "micrometer", "micrometre", "\\u00b5m", "\u00b5m", "\u03bcm"),
    "mm": ("millimeter", "millimetre"),
    "cm": ("centimeter", "centimetre"),
    "m": ("meter", "metre"),
    "inch": ("in", '"'),
    PIXEL: ("px", ""),
}
_SHORT = {name: unit for unit, names in _NAMES.items() for name in (unit, *names)}

# Resolutions that programs write for screens and printers; they are not those of a scanner.
_PRINT_DPI = (1, 72, 96, 100, 120, 144, 150, 200, 240, 300, 400, 600, 1200, 2400)


@dataclass(frozen=True, slots=True)
class Spacing:
    """The size of one pixel along each spatial axis, (row, column) or (slice, row, column), finite and above zero.

    The unit is ``nm``, ``um``, ``mm``, ``cm``, ``m``, ``inch`` or ``pixel``; longer names ("micrometer", "µm") are
    shortened, unknown ones kept. Raises `InputError` for other sizes.

    Examples
    --------
    >>> Spacing((0.5, 0.25), "millimeter").in_unit("um")
    Spacing(size=(500.0, 250.0), unit='um')
    """

    size: tuple[float, ...]
    unit: str

    def __post_init__(self) -> None:
        size = tuple(float(value) for value in self.size)
        if len(size) not in (2, 3):
            raise InputError(f"A pixel spacing has {len(size)} sizes. Give (row, column) or (slice, row, column).")
        if not all(math.isfinite(value) and value > 0 for value in size):
            raise InputError(f"The pixel spacing is {size}. Give finite numbers above zero.")
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "unit", normal_unit(self.unit))

    @classmethod
    def plausible(cls, size: Sequence[float], unit: str) -> Spacing | None:
        """The spacing, or None where the numbers cannot be one."""
        try:
            return cls(tuple(size), unit)
        except InputError:
            return None

    @property
    def is_length(self) -> bool:
        """Whether the unit is a length that can be converted."""
        return is_length(self.unit)

    def in_unit(self, unit: str) -> Spacing:
        """The same spacing in another unit of length; raises `InputError` if one of the units is not a length."""
        wanted = normal_unit(unit)
        if wanted == self.unit:
            return self
        if not self.is_length or wanted not in _PER_METRE:
            raise InputError(
                f"A spacing in {self.unit!r} cannot be converted to {wanted!r}; the units of length are "
                f"{', '.join(_PER_METRE)}."
            )
        # Multiplying before dividing keeps steps of ten exact.
        return Spacing(tuple(value * _PER_METRE[wanted] / _PER_METRE[self.unit] for value in self.size), wanted)

    def last(self, count: int) -> Spacing:
        """The spacing of the last `count` axes: that of a plane cut from a volume."""
        return self if count >= len(self.size) else Spacing(self.size[-count:], self.unit)


def is_length(unit: str) -> bool:
    """Whether a unit, by any of its names, is one of length."""
    return normal_unit(unit) in _PER_METRE


def normal_unit(name: str) -> str:
    """The short name of a unit: ``um`` for "µm", "micron" or "Micrometers"; unknown names as they came.

    Examples
    --------
    >>> normal_unit("Micrometers"), normal_unit("pixels"), normal_unit("furlong")
    ('um', 'pixel', 'furlong')
    """
    plain = name.strip()
    for candidate in (plain.lower(), plain.lower().removesuffix("s"), plain.lower().removesuffix("es")):
        if candidate in _SHORT:
            return _SHORT[candidate]
    return plain


def from_dots_per_inch(horizontal: float, vertical: float) -> Spacing | None:
    """Spacing in mm from a resolution; None for that of a screen or a printer (72, 96, 300 dpi, ...)."""
    if not (math.isfinite(horizontal) and math.isfinite(vertical)) or horizontal <= 0 or vertical <= 0:
        return None
    # PNG rounds to whole pixels per metre: 72 dpi comes back as 72.009.
    if any(abs(horizontal - dpi) < 0.02 for dpi in _PRINT_DPI):
        return None
    return Spacing((25.4 / vertical, 25.4 / horizontal), "mm")
