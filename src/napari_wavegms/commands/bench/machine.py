"""What figures of time have to be read with: the machine, and how the program computes on it."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch

from napari_wavegms.commands.common.console import counted
from napari_wavegms.model.device import choose_device, computes_bfloat16, multiplies_bfloat16
from napari_wavegms.model.kernels.group_norm import fuses


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, as far as it decides how fast the program is.

    Attributes
    ----------
    architecture : str
        The processor's.
    threads : int
        Of torch.
    torch : str
        Its version.
    device, reason : str
        Where it computes, and why there.
    segmenting, learning : str
        The precision: float32 or bfloat16.
    compiled : bool
        Whether learning has the compiled normalisation.
    """

    architecture: str
    threads: int
    torch: str
    device: str
    reason: str
    segmenting: str
    learning: str
    compiled: bool

    @classmethod
    def here(cls, device: str) -> Machine:
        """Describe the machine that this runs on.

        Raises
        ------
        InputError
            If the device is unknown or not to be had.
        """
        chosen = choose_device(device)
        learning = computes_bfloat16(chosen.name)
        # Learning asks within autocast, and so must we.
        with torch.autocast(chosen.name, torch.bfloat16, enabled=learning):
            compiled = fuses(torch.device(chosen.name))
        return cls(
            architecture=platform.machine(),
            threads=torch.get_num_threads(),
            torch=str(torch.__version__),
            device=chosen.name,
            reason=chosen.reason,
            segmenting=_precision(multiplies_bfloat16(chosen.name)),
            learning=_precision(learning),
            compiled=compiled,
        )

    @property
    def sentence(self) -> str:
        """All of it in one line.

        Examples
        --------
        >>> Machine("arm64", 8, "2.13.0", "cpu", "CPU: chosen", "float32", "float32", False).sentence
        'arm64, 8 threads, torch 2.13.0; CPU: chosen; segments in float32, learns in float32.'
        """
        compiled = " with compiled normalisation" if self.compiled else ""
        return (
            f"{self.architecture}, {counted(self.threads, 'thread')}, torch {self.torch}; {self.reason}; "
            f"segments in {self.segmenting}, learns in {self.learning}{compiled}."
        )


def _precision(bfloat16: bool) -> str:
    return "bfloat16" if bfloat16 else "float32"
