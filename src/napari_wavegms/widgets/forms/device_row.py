"""The row that chooses a device and says why."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_wavegms.widgets.qt.combo_box import ChoiceList
from napari_wavegms.widgets.qt.wrapped_label import WrappedLabel

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class DeviceHint:
    """A sentence about a wished device, and whether the wish is known to be impossible."""

    sentence: str
    impossible: bool = False


def device_hint(wish: str, torch_version: str | None, platform: str = sys.platform) -> DeviceHint:
    """Say what is known about a device without importing torch.

    Parameters
    ----------
    wish : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    torch_version : str or None
        The installed torch as its package names it, such as ``"2.13.0+cpu"``; None where there is none.
    platform : str
        ``sys.platform``.

    Examples
    --------
    >>> device_hint("auto", "2.13.0+cpu", "linux").sentence
    'CPU: this build of torch has no CUDA'
    >>> device_hint("mps", "2.13.0", "linux").impossible
    True
    """
    if torch_version is None:
        return DeviceHint("PyTorch is not installed here. Install it with: pip install torch", impossible=True)
    without_cuda = platform == "darwin" or torch_version.endswith("+cpu")
    if wish == "mps" and platform != "darwin":
        return DeviceHint("mps is Apple's graphics processor; this is not a Mac. Choose auto.", impossible=True)
    if wish == "cuda" and without_cuda:
        return DeviceHint(f"This torch ({torch_version}) was built without CUDA. Choose auto or cpu.", impossible=True)
    if wish == "cpu":
        return DeviceHint("CPU: as chosen")
    if wish == "auto" and platform != "darwin" and without_cuda:
        return DeviceHint("CPU: this build of torch has no CUDA")
    return DeviceHint("checked at the first run")


@cache
def installed_torch() -> str | None:
    """Give the version of the installed torch, without importing it; None where there is none."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


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
        self._words = WrappedLabel()
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
