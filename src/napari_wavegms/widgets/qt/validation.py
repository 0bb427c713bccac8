"""How a field is marked whose wish cannot be met."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

_MARK = "border: 2px solid #e0564f;"
_TOOLTIP = "wavegms_own_tooltip"  # a property in which a field's tooltip waits while it is marked


def mark(field: QWidget, sentence: str) -> None:
    """Frame a field in red and say why on hover; an empty sentence takes both away.

    The frame is never the only sign: the same sentence stands in the panel and on the button.
    """
    was = field.property(_TOOLTIP)
    if sentence and was is None:
        field.setProperty(_TOOLTIP, field.toolTip())
    if sentence:
        field.setToolTip(sentence)
        field.setStyleSheet(f"{type(field).__name__} {{ {_MARK} }}")
    elif was is not None:
        field.setToolTip(str(was))
        field.setStyleSheet("")
        field.setProperty(_TOOLTIP, None)
