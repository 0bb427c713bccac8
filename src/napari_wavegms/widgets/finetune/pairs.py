"""The training images of the panel: open layers, folders, and stored corrections."""

from __future__ import annotations

import os
from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_wavegms.corrections.records import Approval, Correction
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import smallest_labels
from napari_wavegms.files.napari_writers import spacing_from_scale
from napari_wavegms.files.pairing import pair_by_stem, unpaired
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.finetune.preflight import Candidate, PairReport, Remedy, Trouble, check_pairs, mend, percent
from napari_wavegms.journal.compaction import forget
from napari_wavegms.journal.journal import Journal
from napari_wavegms.learn.pairs import read_pair
from napari_wavegms.model.classes import Learned
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.widgets.finetune.lists import PairPicture, PairRow, Planes
from napari_wavegms.widgets.layers.image_info import ImageFacts
from napari_wavegms.widgets.layers.layer_matching import match_open_layers
from napari_wavegms.widgets.layers.mask_history import MaskMemory, PlaneKey, memory_of, plane_key
from napari_wavegms.widgets.layers.mask_layers import channel_of, is_overlay
from napari_wavegms.wording import counted, listed

if TYPE_CHECKING:
    from napari.components import Dims, ViewerModel


@dataclass(frozen=True, slots=True, eq=False)
class Drawn(Candidate):
    """One plane of an open image with its mask, and where both come from."""

    source: str = ""
    plane: tuple[int, ...] = ()
    spacing: Spacing | None = None
    model: str = ""
    threshold: float | None = None

    def approval(self) -> Approval:
        """What the store keeps, its arrays copied; raises `InputError` if the mask does not cover the image."""
        copied = self.copied()
        return Approval(**{kept.name: getattr(copied, kept.name) for kept in fields(Approval) if kept.name != "editor"})

    def copied(self) -> Drawn:
        """The same with arrays of its own, so that painting may go on."""
        prediction = None if self.prediction is None else np.array(self.prediction)
        return replace(self, image=np.array(self.image), mask=np.array(self.mask), prediction=prediction)


@dataclass(frozen=True, slots=True, eq=False)
class OpenPair:
    """An open image with the mask that is proposed or was chosen for it."""

    row: PairRow
    drawn: tuple[Drawn, ...] = ()  # its labelled planes, mended as the person wished
    reports: tuple[PairReport, ...] = ()  # one per plane

    @property
    def ready(self) -> list[tuple[Drawn, PairReport]]:
        """The planes to learn from."""
        planes = zip(self.drawn, self.reports, strict=True) if self.row.included else ()
        return [(drawn, report) for drawn, report in planes if not report.problems]


@dataclass(slots=True, eq=False)
class Decisions:
    """What a person decided about the proposals, by the image's id."""

    left_out: set[Hashable] = field(default_factory=set)
    masks: dict[Hashable, Hashable] = field(default_factory=dict)  # chosen instead of the proposed ones
    remedies: dict[tuple[Hashable, Trouble], Remedy] = field(default_factory=dict)
    # What becomes of labels that are no classes of the model, by how many it has.
    learned: dict[int, Learned] = field(default_factory=dict)

    def mended(self, candidate: Drawn, key: Hashable) -> Drawn:
        """Carry out what was decided about this pair's problems, as long as there are such problems."""
        decided = {trouble: remedy for (known, trouble), remedy in self.remedies.items() if known == key}
        while decided:
            problems = check_pairs([candidate])[0].problems
            problem = next((found for found in problems if decided.get(found.trouble) in found.remedies), None)
            if problem is None:
                break
            candidate = mend(candidate, problem, decided.pop(problem.trouble)) or candidate
        return candidate


def open_pairs(
    viewer: ViewerModel,
    decisions: Decisions,
    store: CorrectionStore,
    unchanged: Mapping[Hashable, OpenPair] | None = None,
) -> list[OpenPair]:
    """Read all open images with the masks that they have, in the order of the layer list.

    A prediction that nobody has changed is not ticked, unless it was approved: its model would learn from itself.
    `unchanged` are pairs, by the image's id, of which nothing but their mask could have changed, and it did not.
    """
    ours = [layer for layer in viewer.layers if is_overlay(layer)]
    images = [layer for layer in viewer.layers if isinstance(layer, Image) and layer not in ours]
    masks = {layer.unique_id: layer for layer in viewer.layers if isinstance(layer, Labels) and layer not in ours}
    matching = match_open_layers(images, list(masks.values()))
    choices = (("no mask", None), *((str(mask.name), mask_id) for mask_id, mask in masks.items()))
    pairs = []
    for image in images:
        key = image.unique_id
        mask = masks.get(decisions.masks.get(key, matching.proposals.get(key)))
        row = PairRow(key, str(image.name), "no mask", key not in decisions.left_out, ready=False, masks=choices)
        known = (unchanged or {}).get(key)
        if known is not None and mask is not None and known.row.mask == mask.unique_id:
            pairs.append(known)
        elif mask is not None:
            row = replace(row, mask=mask.unique_id)
            pairs.append(_read_pair(row, image, mask, decisions, store, viewer.dims))
        else:
            pairs.append(OpenPair(replace(row, problem=matching.leftovers.get(key, ""))))
    return pairs


def _read_pair(
    row: PairRow,
    image: Image,
    mask: Labels,
    decisions: Decisions,
    store: CorrectionStore,
    dims: Dims,
) -> OpenPair:
    try:
        found = list(_planes(image, mask, dims))
    except InputError as error:
        return OpenPair(replace(row, summary="does not fit", problem=str(error), remedies=(Remedy.LEAVE_OUT,)))
    drawn = [decisions.mended(one, row.key) for one in found]
    reports = check_pairs(drawn)
    for number, (one, report) in enumerate(zip(drawn, reports, strict=True)):
        if _is_untouched(report) and _is_stored(store, one, report):
            drawn[number] = approved = replace(one, accepted=one.accepted | {Trouble.UNTOUCHED})
            reports[number] = check_pairs([approved])[0]
    if not reports:
        return OpenPair(replace(row, summary="mask is empty", problem=f"Nothing is labelled in {row.name}."))
    ready = sum(report.ready for report in reports)
    summary = reports[0].summary if len(reports) == 1 else f"{ready} of {len(reports)} labelled frames ready"
    middle = len(drawn) // 2  # of a stack one plane stands for all
    picture = _picture(drawn[middle], reports[middle].content)
    row = replace(row, summary=summary, ready=ready > 0, picture=picture, **_told(reports))
    if any(map(_is_untouched, reports)):
        if ready:  # of a stack, the frames that somebody has corrected
            row = replace(row, summary=f"{ready} of {len(reports)} labelled frames corrected", problem="", remedies=())
        else:  # a tick approves it
            aside = "not corrected, approve it first" if row.included else row.aside
            row = replace(row, ready=True, included=False, aside=aside)
    return OpenPair(row, tuple(drawn), tuple(reports))


def _is_untouched(report: PairReport) -> bool:
    return [problem.trouble for problem in report.problems] == [Trouble.UNTOUCHED]


def _told(reports: Iterable[PairReport]) -> dict[str, Any]:
    """What a row says of it, and what is noted."""
    reports = list(reports)
    first = next((problem for report in reports for problem in report.problems), None)
    labels = sorted(frozenset().union(*(report.labels for report in reports)))
    note = {"note": f"Labels {listed(map(str, labels))}." if len(labels) > 1 else ""}
    return note if first is None else note | {"problem": first.sentence, "remedies": first.remedies}


def _picture(candidate: Candidate, content: str) -> PairPicture | None:
    key = f"{content} {content_hash(candidate.mask)}"
    return PairPicture(key, candidate.name, lambda: (candidate.image, candidate.mask)) if content else None


def _planes(image: Image, mask: Labels, dims: Dims) -> Iterator[Drawn]:
    """The plane of a plain image, or the labelled planes of a stack."""
    facts = ImageFacts.of(image, dims)
    plan = facts.plan(every=True, channel=channel_of(mask))
    spacing = spacing_from_scale(tuple(image.scale)[-2:], tuple(str(unit) for unit in image.units)[-2:], "YX")
    nothing = np.zeros(0)
    plain = Drawn(facts.name, nothing, nothing, source=str(image.source.path or ""), spacing=spacing)
    if tuple(mask.data.shape) != plan.labels_shape:
        if plan.total > 1:
            raise InputError(
                f"{image.name} is a stack whose mask has the shape {plan.labels_shape}; {mask.name} has "
                f"{tuple(mask.data.shape)}. Choose its own mask, or leave it out."
            )
        yield replace(plain, image=np.asarray(facts.pixels[plan.indices[0]]), mask=np.asarray(mask.data))
        return
    for number, index in enumerate(plan.indices):
        where = plan.label_index(number)
        labels, found = np.asarray(mask.data[where]), plain
        if plan.total > 1:
            if not labels.any():
                continue
            plane = tuple(int(place) for place in where if not isinstance(place, slice))
            # Planes of one stack stay on one side of the split.
            group = plain.source or f"stack {facts.layer_id}"
            found = replace(plain, plane=plane, name=f"{facts.name} {list(plane)}", group=group)
        found = replace(found, image=np.asarray(facts.pixels[index]), mask=labels)
        yield _with_prediction(found, memory_of(mask), plane_key(where))


def _with_prediction(drawn: Drawn, memory: MaskMemory | None, key: PlaneKey) -> Drawn:
    """Add what we had drawn there ourselves, so that it can be told how much was changed."""
    plane = None if memory is None else memory.planes.get(key)
    written = None if plane is None else plane.ours(drawn.mask)
    if memory is None or written is None:
        return drawn
    made = replace(drawn, prediction=written.mask(), model=memory.model, threshold=written.threshold)
    return replace(made, window=written.window)


@dataclass(frozen=True, slots=True, eq=False)
class FolderRead:
    """The pairs of a folder, checked."""

    folder: Path
    candidates: tuple[Candidate, ...]
    reports: tuple[PairReport, ...]
    left_out: tuple[str, ...] = ()  # a sentence for each
    others: tuple[str, ...] = ()  # what the folders hold beside images and masks, in sentences

    @property
    def sentence(self) -> str:
        """How many images were added, and what was left out."""
        added = f"Added {counted(len(self.candidates), 'image')} from {self.folder.name}."
        more = len(self.left_out) - 2
        alone = ["Left out:", *self.left_out[:2]] if self.left_out else []
        return " ".join([added, *alone, *([f"And {more} more."] if more > 0 else []), *self.others])

    def rows(self, left_out: set[Hashable]) -> list[PairRow]:
        """A row for each."""
        rows = []
        for number, (candidate, report) in enumerate(zip(self.candidates, self.reports, strict=True)):
            included, picture = (self.folder, number) not in left_out, _picture(candidate, report.content)
            row = PairRow((self.folder, number), report.name, report.summary, included, report.ready, picture=picture)
            rows.append(replace(row, **_told([report])))
        return rows

    def included(self, left_out: set[Hashable]) -> list[Candidate]:
        """Those to learn from."""
        return [one for number, one in enumerate(self.candidates) if (self.folder, number) not in left_out]


def folder_job(folder: Path) -> Generator[None, None, FolderRead]:
    """Read the pairs of a folder, or of `images` and `masks` inside of it, in a worker's thread."""
    yield
    if not os.path.isdir(folder):  # noqa: PTH112 - pathlib's raises for a name that is too long
        raise InputError(f"There is no folder {folder}. Choose the one with the images and masks.")
    inside = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    images = inside.get("images") or inside.get("image") or folder
    masks = inside.get("masks") or inside.get("mask") or inside.get("labels") or images
    candidates, left_out = [], []
    for files in pair_by_stem(images, masks):
        try:
            found = read_pair(files)
        except InputError as error:
            left_out.append(str(error))
        else:
            candidates += [Candidate(one.name, one.image, one.mask, one.group, known=one.known) for one in found.planes]
    alone = unpaired(images, masks)
    left_out += [f"{name} has no mask." for name in alone.images] + [f"{name} has no image." for name in alone.masks]
    if not candidates:
        raise InputError(f"No image of {folder.name} can be used. {left_out[0]}")
    return FolderRead(folder, tuple(candidates), tuple(check_pairs(candidates)), tuple(left_out), alone.others)


def stored_rows(store: CorrectionStore, open_pairs: Sequence[OpenPair], left_out: set[Hashable]) -> list[PairRow]:
    """Rows of the stored corrections whose images are not open."""
    shown = {report.content for pair in open_pairs for report in pair.reports}
    return [
        PairRow(
            stored.image,
            stored.name,
            f"{_how_much(stored)}, stored",
            included=stored.image not in left_out,
            picture=PairPicture(f"{stored.image} {stored.mask}", stored.name, partial(_stored_planes, store, stored)),
            stored=(stored.image,),
        )
        for stored in store.corrections()
        if stored.image not in shown
    ]


def forget_job(store: CorrectionStore, images: Sequence[str]) -> Generator[int, None, str]:
    """Forget stored corrections, by the content of their images; returns a sentence."""
    journal = Journal(store.folder)
    for number, image in enumerate(images, 1):
        forget(journal, store, image)
        yield number
    return f"Forgotten: {counted(len(images), 'correction')}, with images, masks and the pixels of all edits."


def _stored_planes(store: CorrectionStore, stored: Correction) -> Planes:
    loaded = store.load(stored)
    return loaded.image, loaded.mask


def _how_much(stored: Correction) -> str:
    if stored.changed_share is not None:
        return f"{percent(stored.changed_share)} changed"
    return f"{percent(stored.labelled / (stored.shape[0] * stored.shape[1]))} labelled"


def with_stored_noted(store: CorrectionStore, pair: OpenPair) -> OpenPair:
    """Let an open pair say that it is stored already, and what of it may be forgotten."""
    row = replace(pair.row, stored=tuple(report.content for report in pair.reports if store.find(report.content)))
    if pair.ready and not not_stored(store, pair):
        row = replace(row, summary=row.summary.replace("ready", "stored"))
    return replace(pair, row=row)


def not_stored(store: CorrectionStore, pair: OpenPair) -> list[Drawn]:
    """What of an open pair is ready and not stored yet, or not as it is now."""
    return [drawn for drawn, report in pair.ready if not _is_stored(store, drawn, report)]


def _is_stored(store: CorrectionStore, drawn: Drawn, report: PairReport) -> bool:
    stored = store.find(report.content)
    return stored is not None and stored.mask == content_hash(smallest_labels(drawn.mask))
