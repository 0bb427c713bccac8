"""What the store of corrections knows about the images of a worklist: it has the last word on what is approved.

An approval is kept in the store first and noted in the worklist after; a kill in between leaves the two apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wavegms.worklist.item import Item

if TYPE_CHECKING:
    from napari_wavegms.corrections.records import Correction
    from napari_wavegms.corrections.store import CorrectionStore


def as_the_store_says(items: Iterable[Item], store: CorrectionStore) -> list[Item]:
    """Give the items, those approved whose correction is in force, and those merely corrected whose is not.

    Parameters
    ----------
    items : iterable of Item
    store : CorrectionStore
    """
    kept = store.corrections()
    by_content = {correction.image: correction for correction in kept}
    by_source = _by_source(kept)
    return [_as_kept(item, by_content.get(item.content), by_source.get(item.key, [])) for item in items]


def _as_kept(item: Item, correction: Correction | None, of_file: list[Correction]) -> Item:
    if correction is None and not item.content:  # pixels that were never read: the file's name has to do
        correction = next((kept for kept in of_file if not kept.plane), None)
    if correction is not None and item.state != "approved":
        return replace(item, state="approved", content=correction.image, time=correction.time)
    # Planes of a stack are kept one by one, under hashes of their own; and a layer has no file to ask for.
    if correction is None and item.state == "approved" and item.path is not None and not of_file:
        return replace(item, state="corrected")
    return item


def _by_source(kept: Iterable[Correction]) -> dict[str, list[Correction]]:
    real = cache(Path.resolve)
    found: dict[str, list[Correction]] = {}
    for correction in kept:
        if correction.source:
            path = Path(correction.source)
            found.setdefault(str(real(path.parent) / path.name), []).append(correction)
    return found
