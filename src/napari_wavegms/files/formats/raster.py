"""PNG, JPEG and BMP through Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_wavegms.files.formats.decoded import Decoded, ForeignFile, oriented
from napari_wavegms.files.provenance import KEY, Record
from napari_wavegms.files.spacing import Spacing, from_dots_per_inch

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")

_FORMATS = ("PNG", "JPEG", "BMP")
_ORIENTATION = 0x0112
_PLAIN_MODES = ("1", "L", "RGB", "RGBA", "I", "F")


def decode(path: Path) -> Decoded:
    """The stored values of a PNG, JPEG or BMP; the first picture of an animated one."""
    try:
        image = Image.open(path, formats=_FORMATS)
    except UnidentifiedImageError as cause:
        raise ForeignFile from cause
    with image:
        image.load()
        pixels, palette = stored_values(image)
        axes = "YX" if pixels.ndim == 2 else "YXS"
        record = Record.from_text(str(image.info[KEY])) if KEY in image.info else None
        return Decoded(
            pixels=np.ascontiguousarray(oriented(pixels, axes, _orientation(image))),
            axes=axes,
            spacing=_spacing(image, record),
            palette=palette,
            lossy=image.format in ("JPEG", "MPO"),
            record=record,
        )


def stored_values(image: Image.Image) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """Pixels of a Pillow image, (H, W) or (H, W, 3 or 4), and its palette (256, 3) if it has one."""
    mode = image.mode
    if mode == "P":
        return np.asarray(image), _palette(image)
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):  # 16-bit grey, which some Pillows widen
        return np.asarray(image).astype(np.uint16), None
    if mode in ("LA", "La"):
        return np.asarray(image)[..., 0], None
    if mode in _PLAIN_MODES:
        return np.asarray(image), None
    return np.asarray(image.convert("RGB")), None


def _palette(image: Image.Image) -> NDArray[np.uint8]:
    colors = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    return np.concatenate([colors, np.zeros((256 - len(colors), 3), np.uint8)])


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block leaves the pixels readable, and Pillow's complaints are of many types
        return 1


def _spacing(image: Image.Image, record: Record | None) -> Spacing | None:
    if record is not None and record.spacing is not None:
        return record.spacing
    dots = image.info.get("dpi")
    return from_dots_per_inch(float(dots[0]), float(dots[1])) if image.format == "PNG" and dots else None
