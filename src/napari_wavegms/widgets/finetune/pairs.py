"""The training images of the panel: stored corrections, open layers and folders."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_wavegms.corrections.records import Approval, Correction
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import smallest_labels
from napari_wavegms.files.napari_writers import spacing_from_scale
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.finetune.preflight import Candidate, PairReport, Problem, Remedy, Trouble, check_pairs, mend
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.widgets.finetune.layer_matching import ImageLayer, LabelsLayer, match_layers
from napari_wavegms.widgets.finetune.rows import PairPicture, PairRow, Planes
from napari_wavegms.widgets.layers.image_info import ImageFacts, SegmentOptions
from napari_wavegms.widgets.layers.mask_history import memory_of, plane_key
from napari_wavegms.widgets.layers.mask_layers import layer_by_id
from napari_wavegms.widgets.layers.overlay_layers import is_probability_layer

if TYPE_CHECKING:
    from napari.components import ViewerModel


SHOWN_BY_US = "wavegms_held_out"
"""Key in the metadata of layers that we show for looking at; they are no pairs."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One plane of an image with its mask, and what is known of both."""

    candidate: Candidate
    source: str = ""
    plane: tuple[int, ...] = ()
    spacing: Spacing | None = None
    model: str = ""
    threshold: float | None = None

    def approval(self) -> Approval:
        """What the store keeps; the arrays are copied.

        Raises
        ------
        InputError
            If the mask does not cover the image.
        """
        candidate = self.copied()
        return Approval(
            name=candidate.name,
            image=candidate.image,
            mask=candidate.mask,
            prediction=candidate.prediction,
            source=self.source,
            plane=self.plane,
            group=candidate.group,
            spacing=self.spacing,
            model=self.model,
            threshold=self.threshold,
        )

    def copied(self) -> Candidate:
        """The candidate with arrays of its own, so that painting may go on."""
        found = self.candidate
        prediction = None if found.prediction is None else np.array(found.prediction)
        return replace(found, image=np.array(found.image), mask=np.array(found.mask), prediction=prediction)


@dataclass(frozen=True, slots=True, eq=False)
class OpenPair:
    """An open image with the mask that is proposed or was chosen for it.

    Attributes
    ----------
    row : PairRow
    drawn : tuple of Drawn
        Its labelled planes, mended as the person wished.
    reports : tuple of PairReport
        One a plane.
    """

    row: PairRow
    drawn: tuple[Drawn, ...] = ()
    reports: tuple[PairReport, ...] = ()

    @property
    def ready(self) -> tuple[Drawn, ...]:
        """The planes to learn from."""
        if not self.row.included:
            return ()
        return tuple(drawn for drawn, report in zip(self.drawn, self.reports, strict=True) if report.ready)


@dataclass(slots=True, eq=False)
class Decisions:
    """What a person decided about the proposals, by the image's id.

    Attributes
    ----------
    left_out : set
    masks : dict
        Id of the mask that was chosen instead of the proposed one.
    remedies : dict
        By image and trouble.
    """

    left_out: set[Hashable] = field(default_factory=set)
    masks: dict[Hashable, Hashable] = field(default_factory=dict)
    remedies: dict[tuple[Hashable, Trouble], Remedy] = field(default_factory=dict)


def open_pairs(
    viewer: ViewerModel, decisions: Decisions, unchanged: Mapping[Hashable, OpenPair] | None = None
) -> list[OpenPair]:
    """Look at all open images that have, or could have, a mask.

    Parameters
    ----------
    viewer : ViewerModel
    decisions : Decisions
        What a person said about earlier proposals.
    unchanged : mapping of hashable to OpenPair, optional
        Pairs of which nothing but their mask could have changed, and it did not, by the image's id.

    Returns
    -------
    list of OpenPair
        In the order of the layer list; images to which no open mask could belong are left out.
    """
    images = [layer for layer in viewer.layers if isinstance(layer, Image) and not _is_ours_to_show(layer)]
    masks = [layer for layer in viewer.layers if isinstance(layer, Labels) and SHOWN_BY_US not in layer.metadata]
    matching = match_layers([_described(image) for image in images], [_described_mask(mask) for mask in masks])
    proposed = {proposal.image_id: proposal.labels_id for proposal in matching.proposals}
    why_not = {leftover.layer_id: leftover.sentence for leftover in matching.leftovers}
    ids = {mask.unique_id for mask in masks}
    pairs = []
    for image in images:
        chosen = decisions.masks.get(image.unique_id, proposed.get(image.unique_id))
        mask = layer_by_id(viewer, chosen) if chosen in ids else None
        row = PairRow(
            key=image.unique_id,
            name=str(image.name),
            summary="no mask",
            included=image.unique_id not in decisions.left_out,
            ready=False,
            masks=(("no mask", None), *((str(layer.name), layer.unique_id) for layer in masks)),
            mask=None if mask is None else mask.unique_id,
        )
        known = (unchanged or {}).get(image.unique_id)
        if known is not None and mask is not None and known.row.mask == mask.unique_id:
            pairs.append(known)
        elif mask is not None:
            pairs.append(_looked_at(row, image, mask, decisions, tuple(viewer.dims.point)))
        elif masks:
            pairs.append(OpenPair(replace(row, problem=why_not.get(image.unique_id, ""))))
    return pairs


def _is_ours_to_show(layer: Image) -> bool:
    return is_probability_layer(layer) or SHOWN_BY_US in layer.metadata


def _described(image: Image) -> ImageLayer:
    pixels = image.data[0] if image.multiscale else image.data
    shape = tuple(int(side) for side in pixels.shape)
    return ImageLayer(image.unique_id, str(image.name), shape[:-1] if image.rgb else shape, tuple(image.scale))


def _described_mask(mask: Labels) -> LabelsLayer:
    memory = memory_of(mask)
    shape, scale = tuple(int(side) for side in mask.data.shape), tuple(mask.scale)
    return LabelsLayer(mask.unique_id, str(mask.name), shape, scale, None if memory is None else memory.image_id)


def _looked_at(
    row: PairRow, image: Image, mask: Labels, decisions: Decisions, world_point: tuple[float, ...]
) -> OpenPair:
    try:
        found = list(_planes(image, mask, world_point))
    except InputError as error:
        return OpenPair(replace(row, summary="does not fit", problem=str(error), remedies=(Remedy.LEAVE_OUT,)))
    drawn = tuple(replace(one, candidate=_mended(one.candidate, row.key, decisions)) for one in found)
    reports = tuple(check_pairs([one.candidate for one in drawn]))
    if not reports:
        row = replace(row, summary="mask is empty", problem=f"Nothing is labelled in {row.name}. Draw something.")
        return OpenPair(row)
    first = next((report.problems[0] for report in reports if report.problems), None)
    row = replace(
        row,
        summary=_summary(reports),
        ready=any(report.ready for report in reports),
        problem=first.sentence if first else "",
        remedies=first.remedies if first else (),
        picture=_picture(drawn[len(drawn) // 2], reports[len(drawn) // 2]),
    )
    return OpenPair(row, drawn, reports)


def _picture(drawn: Drawn, report: PairReport) -> PairPicture | None:
    """The picture of a plane as it is now; of a stack one stands for all."""
    candidate = drawn.candidate
    if not report.content:
        return None
    key = f"{report.content} {content_hash(candidate.mask)}"
    return PairPicture(key, candidate.name, lambda: (candidate.image, candidate.mask))


def _summary(reports: Sequence[PairReport]) -> str:
    if len(reports) == 1:
        return reports[0].summary
    ready = sum(report.ready for report in reports)
    return f"{ready} of {len(reports)} labelled frames ready"


def _mended(candidate: Candidate, key: Hashable, decisions: Decisions) -> Candidate:
    """Carry out what a person has decided about this pair's problems, as long as there are such problems."""
    for _ in Trouble if any(known == key for known, _ in decisions.remedies) else ():
        problem = next(
            (p for p in check_pairs([candidate])[0].problems if (key, p.trouble) in decisions.remedies), None
        )
        changed = None if problem is None else _remedied(candidate, key, problem, decisions)
        if changed is None:
            return candidate
        candidate = changed
    return candidate


def _remedied(candidate: Candidate, key: Hashable, problem: Problem, decisions: Decisions) -> Candidate | None:
    remedy = decisions.remedies[key, problem.trouble]
    return mend(candidate, problem, remedy) if remedy in problem.remedies else None


def _planes(image: Image, mask: Labels, world_point: tuple[float, ...]) -> Iterator[Drawn]:
    """The plane of a plain image, or the labelled planes of a stack."""
    facts = ImageFacts.of(image, world_point)
    plan = facts.plan(SegmentOptions(every=True))
    spacing = spacing_from_scale(tuple(image.scale)[-2:], tuple(str(unit) for unit in image.units)[-2:], "YX")
    plain = Drawn(Candidate(facts.name, np.zeros(0), np.zeros(0)), str(image.source.path or ""), (), spacing)
    if tuple(mask.data.shape) != plan.labels_shape:
        if plan.total > 1:
            raise InputError(
                f"{image.name} is a stack whose mask has the shape {plan.labels_shape}; {mask.name} has "
                f"{tuple(mask.data.shape)}. Choose its own mask, or leave it out."
            )
        pixels = np.asarray(facts.pixels[plan.indices[0]])
        yield replace(plain, candidate=Candidate(facts.name, pixels, np.asarray(mask.data)))
        return
    for number, index in enumerate(plan.indices):
        where = plan.label_index(number)
        labels = np.asarray(mask.data[where])
        if plan.total == 1:
            yield _with_prediction(plain, mask, where, np.asarray(facts.pixels[index]), labels)
        elif labels.any():
            plane = tuple(int(place) for place in where if not isinstance(place, slice))
            # Planes of one stack stay on one side of the split.
            group = plain.source or f"stack {facts.layer_id}"
            name = f"{facts.name} {list(plane)}"
            stacked = replace(plain, plane=plane, candidate=replace(plain.candidate, name=name, group=group))
            yield _with_prediction(stacked, mask, where, np.asarray(facts.pixels[index]), labels)


def _with_prediction(drawn: Drawn, mask: Labels, where: Iterable[int | slice], pixels: Any, labels: Any) -> Drawn:
    """Add what we had drawn there ourselves, so that it can be told how much was changed."""
    memory = memory_of(mask)
    plane = None if memory is None else memory.planes.get(plane_key(where))
    written = None if plane is None else plane.ours(labels)
    prediction = None if written is None else written.mask()
    candidate = replace(drawn.candidate, image=pixels, mask=labels, prediction=prediction)
    if memory is None or written is None:
        return replace(drawn, candidate=candidate)
    return replace(drawn, candidate=candidate, model=memory.model, threshold=written.threshold)


def kept_rows(store: CorrectionStore, open_pairs: list[OpenPair], left_out: set[Hashable]) -> list[PairRow]:
    """Rows of the corrections whose images are not open."""
    shown = {report.content for pair in open_pairs for report in pair.reports}
    return [
        PairRow(
            kept.image,
            kept.name,
            f"{_how_much(kept)}, kept",
            included=kept.image not in left_out,
            picture=PairPicture(f"{kept.image} {kept.mask}", kept.name, partial(_stored_planes, store, kept)),
        )
        for kept in store.corrections()
        if kept.image not in shown
    ]


def _stored_planes(store: CorrectionStore, kept: Correction) -> Planes:
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
