"""Which processor to work on, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from napari_wavegms.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class Device:
    """A torch device name and the reason it was chosen, fit to show."""

    name: str
    reason: str


def choose_device(wish: str = "auto") -> Device:
    """Choose CUDA, then MPS, then the CPU, or what is wished for.

    Raises
    ------
    InputError
        If the wish is unknown or cannot be met here.
    """
    if wish not in DEVICES:
        raise InputError(f"There is no device '{wish}'; there are {', '.join(DEVICES)}. Choose one of them.")
    if wish == "cpu":
        return Device("cpu", "CPU: chosen")
    missing = {"cuda": _cuda_missing(), "mps": _mps_missing()}
    candidates = ("cuda", "mps") if wish == "auto" else (wish,)
    for name in candidates:
        if not missing[name]:
            return Device(name, f"CUDA: {torch.cuda.get_device_name()}" if name == "cuda" else "MPS: Apple GPU")
    if wish == "auto":
        return Device("cpu", f"CPU: {missing['cuda']}")
    raise InputError(f"The device '{wish}' cannot be used: {missing[wish]}. Choose auto or cpu.")


def _cuda_missing() -> str:
    if torch.cuda.is_available():
        return ""
    return "no CUDA GPU or driver found" if torch.backends.cuda.is_built() else "no NVIDIA support installed"


def _mps_missing() -> str:
    if torch.backends.mps.is_available():
        return ""
    return "no Apple GPU found" if torch.backends.mps.is_built() else "this build of PyTorch has no MPS"


def out_of_memory(error: BaseException) -> bool:
    """Whether torch says that a device has no memory left; MPS says it in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def release_memory() -> None:
    """Give cached GPU memory back to the system."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def computes_bfloat16(device: str) -> bool:
    """Whether bfloat16 is arithmetic of the processor rather than an emulation, so that autocast pays.

    On x86 it takes AVX512-BF16 or AMX, which torch's oneDNN reports.
    """
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    if device != "cpu":
        return False
    capabilities = _cpu_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def multiplies_bfloat16(device: str) -> bool:
    """Whether single images are quicker in bfloat16 than in float32, too.

    On x86 they are with AMX, and with AVX512-BF16 on AMD's processors, which do two such products a cycle; on an Intel
    processor held to AVX512-BF16 they were slower (docs/lab/speed.md).
    """
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    capabilities = _cpu_capabilities()
    quick_vectors = bool(capabilities.get("avx512_bf16")) and "AMD" in str(capabilities.get("cpu_name"))
    return device == "cpu" and (quick_vectors or bool(capabilities.get("amx_bf16")))


def _cpu_capabilities() -> dict[str, object]:
    # torch before 2.9 does not tell, and then works in float32.
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


def reserve_ui_core() -> None:
    """Keep torch off one processor core, so that the window stays quick; holds for the thread that calls it."""
    import torch

    torch.set_num_threads(max(1, min(torch.get_num_threads(), _cores() - 1)))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # what this process may use, where the system tells
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
