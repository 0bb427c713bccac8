"""How an image's cell is painted: its small picture, its name, and below that its state with a sign and a colour."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QColor, QFontMetrics, QPainter, QPalette
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_wavegms.review.items import Item
from napari_wavegms.widgets.thumbnails import SHOWN, paint_picture
from napari_wavegms.widgets.worklist_model import ITEM_ROLE
from napari_wavegms.widgets.worklist_words import STATE_COLOURS, state_line

_EDGE = 3
ROW_HEIGHT = SHOWN + 2 * _EDGE
_GAP = 8
_MIDDLE = 128


class WorklistDelegate(QStyledItemDelegate):
    """Paints the cells of the first column."""

    def sizeHint(self, option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """All rows are equally high."""
        return QSize(option.rect.width(), ROW_HEIGHT)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint one cell."""
        if painter is None:
            return
        item: Item = index.data(ITEM_ROLE)
        _paint_ground(painter, option)
        painter.save()
        square = QRect(option.rect.left() + _EDGE, option.rect.top() + _EDGE, SHOWN, SHOWN)
        paint_picture(painter, square, index.data(Qt.ItemDataRole.DecorationRole))
        words = option.rect.adjusted(SHOWN + _EDGE + _GAP, _EDGE + 2, -_EDGE, -_EDGE - 2)
        ink = option.palette.color(QPalette.ColorRole.Text)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        _paint_words(painter, words, item, ink, ink if selected else _state_colour(item, ink))
        painter.restore()


def _paint_ground(painter: QPainter, option: QStyleOptionViewItem) -> None:
    widget = option.widget
    style = widget.style()
    if style is not None:
        style.drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, widget)


def _paint_words(painter: QPainter, place: QRect, item: Item, ink: QColor, second: QColor) -> None:
    upper, lower = QRect(place), QRect(place)
    upper.setBottom(place.center().y())
    lower.setTop(place.center().y() + 1)
    font = painter.font()
    metrics = QFontMetrics(font)
    left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
    painter.setPen(ink)
    # The end of a name tells it from its neighbours as often as its beginning.
    painter.drawText(upper, left, metrics.elidedText(item.name, Qt.TextElideMode.ElideMiddle, upper.width()))
    painter.setPen(second)
    painter.drawText(lower, left, metrics.elidedText(state_line(item), Qt.TextElideMode.ElideRight, lower.width()))


def _state_colour(item: Item, ink: QColor) -> QColor:
    if item.state not in STATE_COLOURS:
        faint = QColor(ink)
        faint.setAlpha(165)
        return faint
    colour = QColor(STATE_COLOURS[item.state])
    # Where the ink is dark, the ground is light, and a colour made for dark ground could not be read.
    return colour.darker(190) if ink.lightness() < _MIDDLE else colour
