"""The corrections kept before, as the panel sees them, and which of the open pairs are among them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from functools import partial

from napari_wavegms.files.writing import smallest_labels
from napari_wavegms.review.content import content_hash
from napari_wavegms.review.corrections import Correction, CorrectionStore
from napari_wavegms.widgets.finetune_pairs import Drawn, OpenPair
from napari_wavegms.widgets.finetune_rows import PairPicture, PairRow, Planes


def kept_rows(store: CorrectionStore, open_pairs: list[OpenPair], left_out: set[Hashable]) -> list[PairRow]:
    """Rows of the corrections whose images are not open."""
    shown = {report.content for pair in open_pairs for report in pair.reports}
    return [
        PairRow(
            kept.image,
            kept.name,
            f"{_how_much(kept)}, kept",
            included=kept.image not in left_out,
            picture=PairPicture(f"{kept.image} {kept.mask}", kept.name, partial(_planes, store, kept)),
        )
        for kept in store.corrections()
        if kept.image not in shown
    ]


def _planes(store: CorrectionStore, kept: Correction) -> Planes:
    loaded = store.load(kept)
    return loaded.image, loaded.mask


def with_kept_noted(store: CorrectionStore, pair: OpenPair) -> OpenPair:
    """Let an open pair say that it is kept already."""
    if pair.ready and not to_keep(store, pair):
        return replace(pair, row=replace(pair.row, summary=pair.row.summary.replace("ready", "kept")))
    return pair


def to_keep(store: CorrectionStore, pair: OpenPair) -> list[Drawn]:
    """What of an open pair is ready and not kept yet, or not as it is now."""
    contents = {id(drawn): report.content for drawn, report in zip(pair.drawn, pair.reports, strict=True)}
    fresh = []
    for drawn in pair.ready:
        kept = store.find(contents[id(drawn)])
        if kept is None or kept.mask != content_hash(smallest_labels(drawn.candidate.mask)):
            fresh.append(drawn)
    return fresh


def _how_much(kept: Correction) -> str:
    changed = kept.changed_share
    share = kept.labelled / (kept.shape[0] * kept.shape[1]) if changed is None else changed
    percent = "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"
    return f"{percent} {'labelled' if changed is None else 'changed'}"
