"""PNG, JPEG and BMP through Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from napari_wavegms.files.formats.decoded import Decoded, ForeignFile, oriented
from napari_wavegms.files.provenance import KEY, Record
from napari_wavegms.files.spacing import Spacing, from_dots_per_inch
from napari_wavegms.storage.memory import ask_for_memory

# Opened by their own classes, because Image.open refuses large pictures, which `ask_for_memory` decides on.
_OPENERS: dict[bytes, Any] = {b"\x89PNG\r\n\x1a\n": PngImageFile, b"\xff\xd8\xff": JpegImageFile, b"BM": BmpImageFile}
MAGIC = tuple(_OPENERS)

_ORIENTATION = 0x0112
_PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA", "I", "F")
# Pillow's unpacking of 16-bit colours, and those that give their upper and their lower byte, or both.
_DEEP = {"RGB;16B": ("RGB;16B", "RGB;16L"), "RGBA;16B": ("RGBA;16B", "RGBA;16L"), "LA;16B": ("RGBA",)}
_COPIES = 3  # Pillow's pixels, numpy's, and those that are turned upright


def decode(path: Path) -> Decoded:
    """The stored values of a PNG, JPEG or BMP; the first picture of an animated one."""
    with path.open("rb") as file:
        head = file.read(8)
    opener = next(opener for magic, opener in _OPENERS.items() if head.startswith(magic))
    try:
        image: Any = opener(path)
    except SyntaxError as cause:
        raise ForeignFile from cause
    with image:
        ask_for_memory(path, _COPIES * bytes_of(image))
        pixels, palette = (_sixteen_bits(image), None) if is_deep(image) else stored_values(image)
        axes = "YX" if pixels.ndim == 2 else "YXS"
        record = Record.from_text(str(image.info[KEY])) if KEY in image.info else None
        frames = getattr(image, "n_frames", 1)
        return Decoded(
            pixels=np.ascontiguousarray(oriented(pixels, axes, _orientation(image))),
            axes=axes,
            spacing=_spacing(image, record),
            palette=palette,
            lossy=image.format == "JPEG",
            record=record,
            left_out=f"{frames - 1} of {frames} frames" if frames > 1 else "",
        )


def bytes_of(image: Image.Image) -> int:
    """Memory of a Pillow image's pixels, before they are read."""
    deep = 4 if image.mode in ("I", "F") else 2 if image.mode.startswith("I;16") or is_deep(image) else 1
    return image.width * image.height * len(image.getbands()) * deep


def is_deep(image: Any) -> bool:
    """Whether a picture that is not loaded yet has colours of 16 bits, of which Pillow keeps the upper eight."""
    return bool(image.tile) and image.tile[0].args in _DEEP


def _sixteen_bits(image: Any) -> NDArray[np.uint16]:
    """All the bits of a PNG's colours: Pillow unpacks one byte of each at a time."""
    rawmode = image.tile[0].args
    bytes_ = []
    for part in _DEEP[rawmode]:
        with type(image)(image.filename) as again:
            again.tile = [again.tile[0]._replace(args=part)]
            bytes_.append(np.asarray(again))
    if len(bytes_) == 1:  # grey and alpha, both bytes of each
        return np.ascontiguousarray(bytes_[0]).view(">u2").astype(np.uint16)
    pixels: NDArray[np.uint16] = bytes_[0].astype(np.uint16) << 8 | bytes_[1]
    clear = image.info.get("transparency")
    if clear is None:
        return pixels
    alpha = np.where((pixels == np.asarray(clear)).all(axis=-1), 0, 65535).astype(np.uint16)
    return np.dstack([pixels, alpha])


def stored_values(image: Image.Image) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """Pixels of a Pillow image, (H, W) or (H, W, 2, 3 or 4), and its palette (256, 3 or 4) if it has one."""
    mode = image.mode
    if mode == "P":
        return np.asarray(image), _palette(image)
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):  # 16-bit grey, which some Pillows widen
        return np.asarray(image).astype(np.uint16), None
    if mode in ("L", "RGB") and image.has_transparency_data:  # one grey or colour that is transparent
        return np.asarray(image.convert("LA" if mode == "L" else "RGBA")), None
    if mode in _PLAIN_MODES:
        return np.asarray(image), None
    return np.asarray(image.convert({"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}.get(mode, "RGB"))), None


def _palette(image: Image.Image) -> NDArray[np.uint8]:
    samples = "RGBA" if image.has_transparency_data else "RGB"
    image.apply_transparency()
    colors = np.array(image.getpalette(samples) or [], np.uint8).reshape(-1, len(samples))
    return np.concatenate([colors, np.zeros((256 - len(colors), len(samples)), np.uint8)])


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
