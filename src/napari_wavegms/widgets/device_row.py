"""The device: a list of wishes, and below it where the work is done and why."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_wavegms.widgets.choice_list import ChoiceList
from napari_wavegms.widgets.device_hint import DEVICES, device_hint, installed_torch
from napari_wavegms.widgets.words import Words


class DeviceRow(QWidget):
    """Choose where to compute.

    Attributes
    ----------
    devices : ChoiceList
        The field itself, to be marked where the wish cannot be met.

    Signals
    -------
    chosen()
        A person chose another device.
    """

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reasons: dict[str, str] = {}  # what a run has found out, by what was wished for
        self.devices = ChoiceList()
        self.devices.set_choices([(name, name) for name in DEVICES], DEVICES[0])
        self._words = Words()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.devices)
        column.addWidget(self._words)
        self.devices.chosen.connect(self._on_chosen)
        self._show()

    @property
    def wish(self) -> str:
        """``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``."""
        return str(self.devices.value)

    @property
    def words(self) -> str:
        """The sentence that is shown."""
        return self._words.sentence

    @property
    def why_not(self) -> str:
        """Why the wish cannot be met; empty where it can, or nobody knows yet."""
        hint = device_hint(self.wish, installed_torch())
        return hint.sentence if hint.impossible else ""

    def choose(self, wish: str) -> None:
        """Choose as a person does."""
        self.devices.set_choices([(name, name) for name in DEVICES], wish)
        self._on_chosen()

    def tell(self, wish: str, reason: str) -> None:
        """Take in where a run that wished for `wish` computes, and why."""
        self._reasons[wish] = reason
        self._show()

    def _on_chosen(self) -> None:
        self._show()
        self.chosen.emit()

    def _show(self) -> None:
        self._words.say(self._reasons.get(self.wish) or device_hint(self.wish, installed_torch()).sentence)
