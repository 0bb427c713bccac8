"""The row that chooses a device and says why."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_wavegms.model.registry import CPU_CHOSEN, CPU_NO_CUDA, DEVICES
from napari_wavegms.widgets.qt.controls import ChoiceList, WrappedLabel, fill


@dataclass(frozen=True, slots=True)
class DeviceHint:
    """A sentence about a chosen device, and whether it is known to be impossible."""

    sentence: str
    impossible: bool = False


def device_hint(wish: str, torch_version: str | None, platform: str = sys.platform) -> DeviceHint:
    """Say what is known about one of `DEVICES` without importing torch; `torch_version` is its package's, if any.

    Examples
    --------
    >>> device_hint("auto", "2.13.0+cpu", "linux").sentence
    'Running on the processor (no NVIDIA support installed)'
    >>> device_hint("mps", "2.13.0", "linux").impossible
    True
    """
    if torch_version is None:
        return DeviceHint("PyTorch is not installed. Install it with: pip install torch", impossible=True)
    without_cuda = platform == "darwin" or torch_version.endswith("+cpu")
    if wish == "mps" and platform != "darwin":
        return DeviceHint("mps is Apple's graphics processor, and this is not a Mac. Choose auto.", impossible=True)
    if wish == "cuda" and without_cuda:
        return DeviceHint(f"This PyTorch ({torch_version}) has no NVIDIA support. Choose auto or cpu.", impossible=True)
    if wish == "cpu":
        return DeviceHint(f"Running on {CPU_CHOSEN}")
    if wish == "auto" and platform != "darwin" and without_cuda:
        return DeviceHint(f"Running on {CPU_NO_CUDA}")
    return DeviceHint("Checked at the first run")


@cache
def installed_torch() -> str | None:
    """The version of the installed torch, without importing it; None where there is none."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


class DeviceRow(QWidget):
    """Choose where to compute."""

    chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._reasons: dict[str, str] = {}  # what a run has found out, by what was chosen
        self.devices = ChoiceList()  # to be marked where the device cannot be used
        self.devices.set_choices([(name, name) for name in DEVICES], DEVICES[0])
        self._words = WrappedLabel()
        fill(QVBoxLayout(self), self.devices, self._words, spacing=2)
        self.devices.chosen.connect(self._on_chosen)
        self._show()

    @property
    def wish(self) -> str:
        """The chosen one of `DEVICES`."""
        return str(self.devices.value)

    @property
    def why_not(self) -> str:
        """Why the chosen device cannot be used; empty where it can, or nobody knows yet."""
        hint = device_hint(self.wish, installed_torch())
        return hint.sentence if hint.impossible else ""

    def tell(self, wish: str, reason: str) -> None:
        """Show where a run with the device `wish` computes, and why."""
        self._reasons[wish] = f"Running on {reason}"
        self._show()

    def _on_chosen(self) -> None:
        self._show()
        self.chosen.emit()

    def _show(self) -> None:
        self._words.say(self._reasons.get(self.wish) or device_hint(self.wish, installed_torch()).sentence)
