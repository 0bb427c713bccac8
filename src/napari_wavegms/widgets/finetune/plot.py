"""The live plot: the loss above, the DSC on the test images below; drawn here, with no plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_wavegms.wording import counted

_LOSS, _DSC = QColor("#e69f00"), QColor("#56b4e9")  # told apart by every kind of colour sight, and by their markers
_LEFT, _RIGHT, _GAP = 38, 44, 20

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curves:
    """What is drawn; x counts steps."""

    loss: tuple[Point, ...] = ()  # of each step
    dsc: tuple[Point, ...] = ()  # the mean on the test images
    before: float | None = None  # of the model in use, a dashed line
    images: int = 0  # test images

    @property
    def sentence(self) -> str:
        """The plot in words, for a reader who cannot see it."""
        if not self.loss:
            return "Nothing has been learned yet."
        words = f"Loss {self.loss[-1][1]:.2f} after {self.loss[-1][0]:.0f} steps"
        if self.dsc:
            words += f"; DSC {self.dsc[-1][1]:.2f} on {counted(self.images, 'test image')}"
        return words + "."


class LearningPlot(QWidget):
    """Loss and DSC, small enough for a dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.curves = Curves()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Above: the loss, which should fall. Below: the DSC (Dice similarity coefficient, 0 to 1) on the test "
            "images, which are not learned from; it should rise above the dashed line, the model in use."
        )

    def sizeHint(self) -> QSize:
        """Two small panes."""
        return QSize(280, 190)

    def set_curves(self, curves: Curves) -> None:
        """Draw these."""
        self.curves = curves
        self.setAccessibleDescription(curves.sentence)
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw both panes."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        curves = self.curves
        height = (self.height() - 2 * _GAP) / 2 - 6
        width = self.width() - _LEFT - _RIGHT
        end = max([1.0, *(x for x, _ in (*curves.loss, *curves.dsc))])
        top = max([value for _, value in _settled(curves.loss)], default=1.0) or 1.0
        loss = _Pane(QRectF(_LEFT, 16, width, height), end, top, self.palette().windowText().color())
        dsc = _Pane(QRectF(_LEFT, 16 + height + _GAP, width, height), end, 1.0, self.palette().windowText().color())
        loss.draw_axes(painter, "loss, each step")
        dsc.draw_axes(
            painter, f"DSC on {counted(curves.images, 'test image')}" if curves.images else "DSC: no test image"
        )
        dsc.draw_steps(painter)
        loss.draw_line(painter, _thinned(curves.loss, int(width)), _LOSS)
        if curves.before is not None:
            dsc.draw_level(painter, curves.before, "before")
        dsc.draw_line(painter, curves.dsc, _DSC, markers=True)
        painter.end()


@dataclass(frozen=True, slots=True)
class _Pane:
    box: QRectF
    end: float
    top: float
    ink: QColor

    def at(self, point: Point) -> QPointF:
        share = min(max(point[1] / self.top, 0.0), 1.0)
        return QPointF(
            self.box.left() + self.box.width() * point[0] / self.end, self.box.bottom() - self.box.height() * share
        )

    def draw_axes(self, painter: QPainter, title: str) -> None:
        faint = QColor(self.ink)
        faint.setAlpha(70)
        painter.setPen(QPen(faint, 1))
        for share in (0.0, 0.5, 1.0):
            y = self.box.bottom() - self.box.height() * share
            painter.drawLine(QPointF(self.box.left(), y), QPointF(self.box.right(), y))
        painter.setPen(self.ink)
        for share in (0.0, 1.0):
            y = self.box.bottom() - self.box.height() * share
            place = QRectF(0, y - 7, _LEFT - 5, 14)
            painter.drawText(
                place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, _short(self.top * share)
            )
        painter.drawText(QPointF(self.box.left(), self.box.top() - 4), title)

    def draw_steps(self, painter: QPainter) -> None:
        painter.setPen(self.ink)
        line = QRectF(self.box.left(), self.box.bottom() + 3, self.box.width(), 14)
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(line, Qt.AlignmentFlag.AlignHCenter, "step")
        painter.drawText(line, Qt.AlignmentFlag.AlignRight, f"{self.end:.0f}")

    def draw_line(self, painter: QPainter, points: Sequence[Point], colour: QColor, markers: bool = False) -> None:
        if not points:
            return
        places = [self.at(point) for point in points]
        painter.setPen(QPen(colour, 1.6))
        painter.drawPolyline(QPolygonF(places))
        if markers:
            painter.setBrush(colour)
            for place in places:
                painter.drawEllipse(place, 2.4, 2.4)
            painter.setBrush(Qt.BrushStyle.NoBrush)
        self._write_beside(painter, places[-1].y(), f"{points[-1][1]:.2f}", colour)

    def draw_level(self, painter: QPainter, value: float, name: str) -> None:
        y = self.at((0.0, value)).y()
        painter.setPen(QPen(self.ink, 1.2, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(self.box.left(), y), QPointF(self.box.right(), y))
        above = y - 3 if y - 14 > self.box.top() else y + 12
        painter.drawText(QPointF(self.box.left() + 4, above), f"{name} {value:.2f}")

    def _write_beside(self, painter: QPainter, y: float, text: str, colour: QColor) -> None:
        painter.setPen(colour)
        place = QRectF(self.box.right() + 5, y - 7, _RIGHT - 5, 14)
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)


def _short(value: float) -> str:
    return f"{value:.2g}".replace("e+0", "e").replace("e-0", "e-")


def _settled(points: Sequence[Point]) -> Sequence[Point]:
    """The losses that set the scale: the first steps may be far above all others."""
    return points[len(points) // 20 :]


def _thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """At most two points a pixel, the last one always."""
    step = max(1, len(points) // max(1, 2 * most))
    kept = points[::step]
    return kept if not points or kept[-1] == points[-1] else (*kept, points[-1])
