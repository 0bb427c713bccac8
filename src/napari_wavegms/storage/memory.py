"""Ask before something large is decoded: a file of a few kilobytes may unfold to more than the memory holds."""

from __future__ import annotations

import psutil

from napari_wavegms.errors import InputError

_SHARE = 0.5  # of what is free
_GB = 1e9
_chosen: list[int] = []


def set_memory_limit(gigabytes: float | None) -> None:
    """Choose how much an image may take while it is read; None goes back to half of what is free."""
    _chosen[:] = [] if gigabytes is None else [int(gigabytes * _GB)]


def ask_for_memory(source: object, needed: int) -> None:
    """Raise `InputError`, with both sizes, for what would take more than the limit."""
    limit = _chosen[0] if _chosen else int(psutil.virtual_memory().available * _SHARE)
    if needed > limit:
        raise InputError(
            f"{source} needs about {needed / _GB:.1f} GB to be read, and the limit is {limit / _GB:.1f} GB. Crop it, "
            "save a part of it, or raise the limit (--max-memory)."
        )
