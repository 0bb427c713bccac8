"""The small pictures of a list: read when a row is painted, the latest few hundred kept."""

from __future__ import annotations

from collections import OrderedDict

from qtpy.QtCore import QObject, QPointF, QRect, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter, QPixmap

from napari_wavegms.widgets.gone import when_gone
from napari_wavegms.widgets.thumbnail_reader import SIDE, Pictured, ReadPlane, ThumbnailReader, plane_of_file

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
        when_gone(self, self._reader.stop)  # a viewer that closes destroys us without any other notice

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
