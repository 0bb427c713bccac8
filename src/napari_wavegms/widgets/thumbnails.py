"""Thumbnails of images, read in the background."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QPointF, QRect, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPainterPath, QPen, QPixmap

from napari_wavegms.errors import InputError
from napari_wavegms.files.reading import read_image
from napari_wavegms.segment.preprocessing import as_image, scale_intensity
from napari_wavegms.widgets.qt.lifetime import on_destroyed
from napari_wavegms.worklist.item import Item

SIDE = 88
"""Longer side of a thumbnail in pixels: twice what is shown, for screens with fine pixels."""
SHOWN = SIDE // 2
"""Side of the square that a thumbnail is shown in, in pixels of the screen as Qt counts them."""

_MOST_WAITING = 64  # a few screens full; what was scrolled past is not worth reading
_MOST_KEPT = 400  # thumbnails of at most 31 kB
_LARGEST_FILE = 2**28  # bytes; it would have to be read as a whole
_PERCENTILES = (0.5, 99.5)
_INK, _EDGE = QColor("#f0e442"), QColor(0, 0, 0, 190)  # bright on a dark edge, to be seen on any image


class Pictured(Protocol):
    """What has a thumbnail."""

    @property
    def key(self) -> str:
        """Another thumbnail has another key."""

    @property
    def name(self) -> str:
        """What the user calls it."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlined:
    """An image whose thumbnail shows the outline of a mask; what is not 0 in the mask is inside."""

    image: npt.NDArray[Any]
    mask: npt.NDArray[Any]


ReadPlane = Callable[[Any], npt.NDArray[np.generic] | Outlined]
"""Reads what is shown of something pictured; called in the background."""


def plane_of_file(item: Item) -> npt.NDArray[np.generic]:
    """Read the plane, (H, W) or (H, W, 3 or 4), of an item's file that stands for it: of a stack the middle one.

    Raises `InputError` if the item has no file, or it cannot be read.
    """
    if item.path is None:
        raise InputError(f"{item.name} has no file. Open the image to see it.")
    if item.path.is_file() and item.path.stat().st_size > _LARGEST_FILE:
        raise InputError(f"{item.name} is too large for a thumbnail. Open the image to see it.")
    loaded = read_image(item.path)
    return middle_plane(loaded.pixels, loaded.axes.endswith("S"))


def middle_plane(pixels: Any, rgb: bool) -> npt.NDArray[np.generic]:
    """Read the middle plane, (H, W) or (H, W, 3 or 4), of an array-like of shape (..., H, W) or (..., H, W, 3 or 4)."""
    for _axis in range(pixels.ndim - (3 if rgb else 2)):
        pixels = pixels[pixels.shape[0] // 2]
    return np.asarray(pixels)


def small_picture(plane: npt.NDArray[np.generic] | Outlined) -> QImage:
    """Shrink an image, (H, W) or (H, W, 1, 3 or 4), to fit a square of `SIDE` pixels, its proportions kept.

    It has any real dtype; all but bool and uint8 are spread from dark to bright. A mask of another size than its image
    is not drawn. Raises `InputError` if the array is no such image.
    """
    if isinstance(plane, Outlined):
        picture = small_picture(plane.image)
        if plane.mask.shape == plane.image.shape[:2]:
            _draw_outline(picture, plane.mask)
        return picture
    image = as_image(plane)
    # Four pixels for each one that is shown are enough, whatever the size of the image.
    step = max(1, max(image.shape[:2]) // (4 * SIDE))
    scaled, _ = scale_intensity(image[::step, ::step], _PERCENTILES)
    pixels = np.broadcast_to(np.rint(scaled * 255).astype(np.uint8), (*scaled.shape[:2], 3))
    pixels = np.ascontiguousarray(pixels)
    rows, columns = pixels.shape[:2]
    picture = QImage(pixels.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    # Copied, because a picture that needs no scaling would still live in our array's memory.
    return picture.copy().scaled(
        SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )


def _draw_outline(picture: QImage, mask: npt.NDArray[Any]) -> None:
    """Draw the edges between labelled and unlabelled pixels of a mask of any size, on a picture of the same whole."""
    step = max(1, max(mask.shape) // (2 * SIDE))
    coarse = np.pad(mask[::step, ::step] != 0, 1)
    path = QPainterPath()
    for row, column in np.argwhere(coarse[1:] != coarse[:-1]):  # between `row` and the next one
        path.moveTo(column - 1, row)
        path.lineTo(column, row)
    for row, column in np.argwhere(coarse[:, 1:] != coarse[:, :-1]):
        path.moveTo(column, row - 1)
        path.lineTo(column, row)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(picture.width() * step / mask.shape[1], picture.height() * step / mask.shape[0])
    for colour, width in ((_EDGE, 4.0), (_INK, 2.0)):
        pen = QPen(colour, width)
        pen.setCosmetic(True)  # as wide whatever the scale
        painter.strokePath(path, pen)
    painter.end()


class _Reader(QObject):
    """Brings thumbnails from their thread to the window's; survives whoever asked for them."""

    read = Signal(object, str, object)

    def read_newest(self, wanted: dict[str, Pictured], read: ReadPlane) -> None:
        try:
            key, item = wanted.popitem()
        except KeyError:
            return  # scrolled past
        try:
            picture: QImage | str = small_picture(read(item))
        except InputError as error:
            picture = str(error)
        except Exception as error:  # a layer's pixels may come from anywhere; one thumbnail is not worth a crash
            picture = f"{item.name} cannot be shown ({type(error).__name__}). Open the image to see more."
        self.read.emit(wanted, key, picture)


class Thumbnails(QObject):
    """Thumbnails by the key of their item, read in the background, the newest request first."""

    arrived = Signal(list)  # keys whose thumbnail, or the sentence why there is none, has come

    def __init__(self, read: ReadPlane = plane_of_file, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._read = read
        self._pictures: OrderedDict[str, QPixmap | str] = OrderedDict()
        self._wanted: dict[str, Pictured] = {}  # newest last; its thread takes them from there
        self._asked: set[str] = set()  # wanted, or being read
        self._reader = _Reader()
        self._reader.read.connect(self._on_read)
        self._thread = ThreadPoolExecutor(1, "wave_gms_thumbnails")
        # A viewer that closes destroys us without any other notice.
        on_destroyed(self, partial(self._thread.shutdown, wait=False, cancel_futures=True))

    def __len__(self) -> int:
        return len(self._pictures)

    def picture(self, item: Pictured) -> QPixmap | None:
        """Return the thumbnail if it is there, and have it read if it is not."""
        found = self._pictures.get(item.key)
        if found is None:
            self._want(item)
            return None
        self._pictures.move_to_end(item.key)
        return found if isinstance(found, QPixmap) else None

    def problem(self, key: str) -> str:
        """Say why there is no thumbnail; empty where there is one, or none was asked for."""
        found = self._pictures.get(key)
        return found if isinstance(found, str) else ""

    def forget(self) -> None:
        """Drop all thumbnails and requests, as for another list or files that may have changed."""
        self._wanted.clear()
        self._wanted = {}  # what is being read comes with the old one
        self._asked.clear()
        self._pictures.clear()

    def _want(self, item: Pictured) -> None:
        if self._wanted.pop(item.key, None) is not None:
            self._wanted[item.key] = item  # the newest again
        elif item.key not in self._asked:
            self._asked.add(item.key)
            self._wanted[item.key] = item
            if len(self._wanted) > _MOST_WAITING:
                oldest = next(iter(self._wanted))
                self._wanted.pop(oldest, None)
                self._asked.discard(oldest)
            self._thread.submit(self._reader.read_newest, self._wanted, self._read)

    def _on_read(self, wanted: dict[str, Pictured], key: str, picture: QImage | str) -> None:
        if wanted is not self._wanted:
            return  # asked for before `forget`
        self._asked.discard(key)
        if isinstance(picture, QImage):
            self._pictures[key] = shown = QPixmap.fromImage(picture)
            shown.setDevicePixelRatio(SIDE / SHOWN)
        else:
            self._pictures[key] = picture
        while len(self._pictures) > _MOST_KEPT:
            self._pictures.popitem(last=False)
        self.arrived.emit([key])


def paint_picture(painter: QPainter, square: QRect, picture: QPixmap | None) -> None:
    """Paint a picture in the middle of a square, or a grey square while there is none."""
    if picture is None:
        painter.fillRect(square, QColor(128, 128, 128, 40))
        return
    size = picture.deviceIndependentSize()
    margins = QPointF(square.width() - size.width(), square.height() - size.height()) / 2
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawPixmap(QPointF(square.topLeft()) + margins, picture)
