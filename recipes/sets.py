"""Pairs of one or several data sets in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_wavegms.learn.pairs import Pair, load_pairs


def read_set(folder: Path, subset: str, limit: int | None = None, upright: bool = False) -> list[Pair]:
    """Pairs of one subset of a folder with images/, masks/ and split.json; with a limit, that many spread over it."""
    pairs = load_pairs(folder / "images", folder / "masks", folder / "split.json", subset)
    if limit is not None and limit < len(pairs):
        pairs = [pairs[i * len(pairs) // limit] for i in range(limit)]
    return [replace(pair, upright=upright) for pair in pairs]


def joined(sets: Sequence[tuple[str, Sequence[Pair]]]) -> list[Pair]:
    """All pairs of named sets; with more than one, names tell the set, so that no two pairs share one."""
    if len(sets) == 1:
        return list(sets[0][1])
    return [replace(pair, name=f"{name}/{pair.name}", group=name) for name, pairs in sets for pair in pairs]


def barred(pairs: Sequence[Pair], share: float = 0.3) -> list[Pair]:
    """The pairs with a black bar on each side, up to that share of the image, from a fixed seed; no bar is labelled."""
    rng = np.random.default_rng(0)

    def pad(pair: Pair) -> Pair:
        height, width = pair.mask.shape
        bars = [int(rng.uniform(0, share) * side) for side in (height, height, width, width)]
        around = ((bars[0], bars[1]), (bars[2], bars[3]))
        colours = ((0, 0),) * (pair.image.ndim - 2)
        return replace(pair, image=np.pad(pair.image, around + colours), mask=np.pad(pair.mask, around))

    return list(map(pad, pairs))


def mirrored(pair: Pair) -> Pair:
    """The pair with left and right exchanged."""
    image, mask = (np.ascontiguousarray(plane[:, ::-1]) for plane in (pair.image, pair.mask))
    return replace(pair, name=f"{pair.name} mirrored", image=image, mask=mask, group=pair.name)
