"""What can be said about the processor before torch is imported, from the name of the installed torch alone."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

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
