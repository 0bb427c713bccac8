"""Ask before something large is decoded, as a small file may unfold to much more; and tell when memory ran out."""

from __future__ import annotations

import psutil

from napari_wavegms.errors import InputError

_SHARE = 0.5  # of what is free
_GB = 1e9
_ADVICE = "Crop it, save a part of it, or raise the limit (--max-memory)."
_chosen: list[int] = []


def set_memory_limit(gigabytes: float | None) -> None:
    """Choose how much an image may take while it is read; None goes back to half of what is free."""
    _chosen[:] = [] if gigabytes is None else [int(gigabytes * _GB)]


def out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out; torch tells it in a RuntimeError, whose text differs between devices."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error).lower() for words in ("out of memory", "allocate memory", "not enough memory"))
    )


def ask_for_memory(source: object, needed: int, purpose: str = "to be read", advice: str = _ADVICE) -> None:
    """Raise `InputError`, with both sizes and an advice, for what would take more than the limit."""
    limit = _chosen[0] if _chosen else int(psutil.virtual_memory().available * _SHARE)
    if needed > limit:
        raise InputError(
            f"{source} needs about {needed / _GB:.1f} GB {purpose}, and the limit is {limit / _GB:.1f} GB. {advice}"
        )
