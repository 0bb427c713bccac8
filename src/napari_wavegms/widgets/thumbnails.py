"""Thumbnails of images, read in a thread of their own."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QPointF, QRect, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPainterPath, QPen, QPixmap

from napari_wavegms.errors import InputError
from napari_wavegms.files.reading import read_image
from napari_wavegms.segment.preprocessing import as_image, scale_intensity
from napari_wavegms.widgets.qt.lifetime import on_destroyed
from napari_wavegms.worklist.item import Item


class Pictured(Protocol):
    """What a small picture can be made of: known by its key, called by its name."""

    @property
    def key(self) -> str:
        """Another picture has another key."""

    @property
    def name(self) -> str:
        """What the user calls it."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlined:
    """An image whose picture shows the outline of a mask; what is not 0 in the mask is inside."""

    image: npt.NDArray[Any]
    mask: npt.NDArray[Any]


ReadPlane = Callable[[Any], npt.NDArray[np.generic] | Outlined]
"""Gives what is shown of something pictured."""

SIDE = 88  # pixels; twice what is shown, for screens with fine pixels

_MOST_WAITING = 64  # a few screens full; what was scrolled past is not worth reading

_LINGER = 0.5  # seconds; scrolling asks for one row after the other

_LARGEST_FILE = 2**28  # bytes; it would have to be read as a whole

_PERCENTILES = (0.5, 99.5)

_INK, _EDGE = QColor("#f0e442"), QColor(0, 0, 0, 190)  # bright on a dark edge, to be seen on any image


def plane_of_file(item: Item) -> npt.NDArray[np.generic]:
    """Read the plane of an item's file that stands for it: of a stack the middle one.

    Returns
    -------
    ndarray of shape (H, W) or (H, W, 3 or 4)

    Raises
    ------
    InputError
        If the item has no file, or it cannot be read.
    """
    if item.path is None:
        raise InputError(f"{item.name} has no file. Open the image to see it.")
    if item.path.is_file() and item.path.stat().st_size > _LARGEST_FILE:
        raise InputError(f"{item.name} is too large for a small picture. Open the image to see it.")
    loaded = read_image(item.path)
    plane: npt.NDArray[np.generic] = loaded.pixels
    for _axis in range(loaded.pixels.ndim - (3 if loaded.axes.endswith("S") else 2)):
        plane = plane[plane.shape[0] // 2]
    return plane


def small_picture(plane: npt.NDArray[np.generic] | Outlined) -> QImage:
    """Shrink an image so that it fits a square of `SIDE` pixels, its proportions kept.

    Parameters
    ----------
    plane : Outlined, or ndarray of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        Any real dtype; all but bool and uint8 are spread from dark to bright. A mask of another size than its image
        is not drawn.

    Raises
    ------
    InputError
        If the array is no such image.
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


class ThumbnailReader:
    """Reads small pictures in a thread that ends soon after there is nothing left to read.

    Parameters
    ----------
    read : callable
        Gives an item's plane; called in that thread.
    """

    def __init__(self, read: ReadPlane) -> None:
        self._read = read
        self._guard = threading.Condition()
        self._wanted: dict[str, Pictured] = {}  # the newest wish last
        self._done: deque[tuple[str, QImage | str]] = deque()
        self._reading: str | None = None
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being read, or waits to be taken."""
        with self._guard:
            return bool(self._wanted or self._reading or self._done)

    def want(self, item: Pictured) -> None:
        """Ask for a picture; asking again makes it the next one."""
        with self._guard:
            if item.key == self._reading or any(key == item.key for key, _ in self._done):
                return
            self._wanted.pop(item.key, None)
            self._wanted[item.key] = item
            while len(self._wanted) > _MOST_WAITING:
                del self._wanted[next(iter(self._wanted))]
            self._guard.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="wave_gms_thumbnails", daemon=True)
                self._thread.start()

    def take(self) -> list[tuple[str, QImage | str]]:
        """Give what was read since the last time: keys with their picture, or with the sentence why there is none."""
        with self._guard:
            done = list(self._done)
            self._done.clear()
            return done

    def stop(self) -> None:
        """Forget all wishes; what is just being read is dropped."""
        with self._guard:
            self._wanted.clear()
            self._done.clear()
            self._reading = None

    def _work(self) -> None:
        while True:
            with self._guard:
                self._reading = None
                if not self._wanted and not self._guard.wait_for(lambda: self._wanted, _LINGER):
                    self._thread = None
                    return
                key, item = self._wanted.popitem()
                self._reading = key
            picture = self._picture(item)
            with self._guard:
                if self._reading == key:
                    self._done.append((key, picture))

    def _picture(self, item: Pictured) -> QImage | str:
        try:
            return small_picture(self._read(item))
        except InputError as error:
            return str(error)
        except Exception as error:  # a layer's pixels may come from anywhere; one picture is not worth a crash
            return f"{item.name} cannot be shown ({type(error).__name__}). Open the image to see more."


SHOWN = SIDE // 2
"""Side of the square that a picture is shown in, in pixels of the screen as Qt counts them."""

_KEPT = 400  # pictures of at most 31 kB

_LOOK_EVERY = 40  # ms

_FINE = 2.0  # pixels of a picture per pixel that is shown


class Thumbnails(QObject):
    """Small pictures by the key of their item.

    Signals
    -------
    arrived(list of str)
        Keys whose picture, or the sentence why there is none, has come.

    Parameters
    ----------
    read : callable, optional
        Gives an item's plane, in a thread in the background; reads the item's file by default.
    """

    arrived = Signal(list)

    def __init__(self, read: ReadPlane = plane_of_file, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pictures: OrderedDict[str, QPixmap | str] = OrderedDict()
        self._reader = ThumbnailReader(read)
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_EVERY)
        self._timer.timeout.connect(self._take)
        on_destroyed(self, self._reader.stop)  # a viewer that closes destroys us without any other notice

    def __len__(self) -> int:
        return len(self._pictures)

    def picture(self, item: Pictured) -> QPixmap | None:
        """Give the picture if it is there, and have it read if it is not."""
        found = self._pictures.get(item.key)
        if found is None:
            self._reader.want(item)
            if not self._timer.isActive():
                self._timer.start()
            return None
        self._pictures.move_to_end(item.key)
        return found if isinstance(found, QPixmap) else None

    def problem(self, key: str) -> str:
        """Give the sentence why there is no picture; empty where there is one, or none was asked for."""
        found = self._pictures.get(key)
        return found if isinstance(found, str) else ""

    def forget(self) -> None:
        """Drop all pictures and wishes, as for another list or files that may have changed."""
        self._reader.stop()
        self._pictures.clear()

    def _take(self) -> None:
        busy = self._reader.busy
        done = self._reader.take()
        for key, picture in done:
            self._pictures[key] = picture if isinstance(picture, str) else _fine(QPixmap.fromImage(picture))
        while len(self._pictures) > _KEPT:
            self._pictures.popitem(last=False)
        if not busy:
            self._timer.stop()
        if done:
            self.arrived.emit([key for key, _ in done])


def paint_picture(painter: QPainter, square: QRect, picture: QPixmap | None) -> None:
    """Paint a picture in the middle of a square, or a grey square while there is none."""
    if picture is None:
        painter.fillRect(square, QColor(128, 128, 128, 40))
        return
    size = picture.deviceIndependentSize()
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawPixmap(
        QPointF(
            square.left() + (square.width() - size.width()) / 2, square.top() + (square.height() - size.height()) / 2
        ),
        picture,
    )


def _fine(pixmap: QPixmap) -> QPixmap:
    pixmap.setDevicePixelRatio(_FINE)
    return pixmap
