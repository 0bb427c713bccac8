"""Which device to compute on, and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_wavegms.errors import InputError
from napari_wavegms.model.registry import CPU_CHOSEN, CPU_NO_CUDA, CPU_NO_GPU, DEVICES


@dataclass(frozen=True, slots=True)
class Device:
    """A torch device, and a phrase for people: where it computes and why, such as "the processor (chosen)"."""

    name: str
    reason: str


def choose_device(wish: str = "auto") -> Device:
    """The wished device; for "auto" CUDA, MPS or the CPU, in this order. Raises `InputError` where there is none."""
    if wish not in DEVICES:
        raise InputError(f"There is no device '{wish}'. Choose one of {', '.join(DEVICES)}.")
    if wish == "cpu":
        return Device("cpu", CPU_CHOSEN)
    if wish in ("auto", "cuda") and torch.cuda.is_available():
        return Device("cuda", f"the GPU ({torch.cuda.get_device_name()})")
    if wish in ("auto", "mps") and torch.backends.mps.is_available():
        return Device("mps", "the Apple GPU")
    if wish == "mps":
        raise InputError("The device 'mps' is not available: there is no Apple GPU. Choose auto or cpu.")
    reason = CPU_NO_GPU if torch.backends.cuda.is_built() else CPU_NO_CUDA
    if wish == "auto":
        return Device("cpu", reason)
    raise InputError(f"The device 'cuda' is not available{reason.removeprefix('the processor')}. Choose auto or cpu.")


def release_memory() -> None:
    """Release cached GPU memory."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def computes_bfloat16(device: str) -> bool:
    """Whether the device computes in bfloat16 rather than emulating it, so that autocast pays (AVX512-BF16, AMX)."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    if device != "cpu":
        return False
    capabilities = _cpu_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def multiplies_bfloat16(device: str) -> bool:
    """Whether single images are faster in bfloat16, too: with AMX, and with AVX512-BF16 on AMD (docs/lab/speed.md)."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    capabilities = _cpu_capabilities()
    quick_vectors = bool(capabilities.get("avx512_bf16")) and "AMD" in str(capabilities.get("cpu_name"))
    return device == "cpu" and (quick_vectors or bool(capabilities.get("amx_bf16")))


def _cpu_capabilities() -> dict[str, object]:
    # torch before 2.9 does not report them, and then float32 is used.
    return dict(getattr(torch.cpu, "get_capabilities", dict)())
