"""How a field is marked whose value cannot be used."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

_FRAME = "border: 2px solid #e0564f;"
_TOOLTIP = "wavegms_own_tooltip"  # a property that keeps a field's tooltip while it is marked


def mark(field: QWidget, sentence: str) -> None:
    """Frame a field in red and say why on hover; an empty sentence takes both away.

    The frame is never the only sign: the same sentence stands in the panel and on the button.
    """
    was = field.property(_TOOLTIP)
    if sentence:
        field.setProperty(_TOOLTIP, field.toolTip() if was is None else was)
        field.setToolTip(sentence)
        field.setStyleSheet(f"{type(field).__name__} {{ {_FRAME} }}")
    elif was is not None:
        field.setToolTip(str(was))
        field.setStyleSheet("")
        field.setProperty(_TOOLTIP, None)
