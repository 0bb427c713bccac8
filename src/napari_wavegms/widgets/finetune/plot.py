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
        curves, ink = self.curves, self.palette().windowText().color()
        width, height = self.width() - _LEFT - _RIGHT, (self.height() - 2 * _GAP) / 2 - 6
        end = max([1.0, *(x for x, _ in (*curves.loss, *curves.dsc))])
        settled = curves.loss[len(curves.loss) // 20 :]  # the first steps may be far above all others
        top = max([value for _, value in settled], default=1.0) or 1.0
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        loss = _Pane(painter, ink, QRectF(_LEFT, 16, width, height), end, top)
        dsc = _Pane(painter, ink, QRectF(_LEFT, 16 + height + _GAP, width, height), end, 1.0)
        loss.draw_axes("loss, each step")
        dsc.draw_axes(f"DSC on {counted(curves.images, 'test image')}" if curves.images else "DSC: no test image")
        dsc.draw_steps()
        loss.draw_line(curves.loss, _LOSS)
        if curves.before is not None:
            dsc.draw_level(curves.before, "before", below=bool(curves.dsc) and curves.dsc[0][1] >= curves.before)
        dsc.draw_line(curves.dsc, _DSC, markers=True)
        painter.end()


@dataclass(frozen=True, slots=True)
class _Pane:
    painter: QPainter
    ink: QColor
    box: QRectF
    end: float  # what stands at the right, in steps
    top: float

    def at(self, x: float, y: float) -> QPointF:
        share = min(max(y / self.top, 0.0), 1.0)
        left, bottom = self.box.left(), self.box.bottom()
        return QPointF(left + self.box.width() * x / self.end, bottom - self.box.height() * share)

    def draw_axes(self, title: str) -> None:
        faint = QColor(self.ink)
        faint.setAlpha(70)
        self.painter.setPen(QPen(faint, 1))
        for value in (0.0, self.top / 2, self.top):
            self.painter.drawLine(self.at(0.0, value), self.at(self.end, value))
        for value in (0.0, self.top):
            place = QRectF(0, self.at(0.0, value).y() - 7, _LEFT - 5, 14)
            self._write(place, Qt.AlignmentFlag.AlignRight, f"{value:.2g}", self.ink)
        self.painter.drawText(QPointF(self.box.left(), self.box.top() - 4), title)

    def draw_steps(self) -> None:
        line = QRectF(self.box.left(), self.box.bottom() + 3, self.box.width(), 14)
        self._write(line, Qt.AlignmentFlag.AlignLeft, "0", self.ink)
        self._write(line, Qt.AlignmentFlag.AlignHCenter, "step", self.ink)
        self._write(line, Qt.AlignmentFlag.AlignRight, f"{self.end:.0f}", self.ink)

    def draw_line(self, points: Sequence[Point], colour: QColor, markers: bool = False) -> None:
        if not points:
            return
        places = [self.at(*point) for point in points]
        self.painter.setPen(QPen(colour, 1.6))
        self.painter.drawPolyline(QPolygonF(places))
        if markers:
            self.painter.setBrush(colour)
            for place in places:
                self.painter.drawEllipse(place, 2.4, 2.4)
            self.painter.setBrush(Qt.BrushStyle.NoBrush)
        beside = QRectF(self.box.right() + 5, places[-1].y() - 7, _RIGHT - 5, 14)
        self._write(beside, Qt.AlignmentFlag.AlignLeft, f"{points[-1][1]:.2f}", colour)

    def draw_level(self, value: float, name: str, below: bool) -> None:
        start = self.at(0.0, value)
        self.painter.setPen(QPen(self.ink, 1.2, Qt.PenStyle.DashLine))
        self.painter.drawLine(start, self.at(self.end, value))
        has_room = start.y() + 14 < self.box.bottom() if below else start.y() - 14 > self.box.top()
        base = 12 if below is has_room else -3  # on the other side of the line than the curve begins
        self.painter.drawText(start + QPointF(4, base), f"{name} {value:.2f}")

    def _write(self, place: QRectF, side: Qt.AlignmentFlag, text: str, colour: QColor) -> None:
        self.painter.setPen(colour)
        self.painter.drawText(place, side | Qt.AlignmentFlag.AlignVCenter, text)
