"""The masks that people drew: of one image, and written to a folder under the names of their images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_wavegms.corrections.export import provenance_of
from napari_wavegms.corrections.store import CorrectionStore, approved_mask
from napari_wavegms.errors import InputError
from napari_wavegms.files.geometry import Geometry
from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.files.reading import LoadedImage
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.journal.journal import Journal
from napari_wavegms.segment.planes import ChannelNeeded, StackPlan, plan_stack
from napari_wavegms.storage.content_hash import content_hash


def drawn_mask(
    pixels: npt.NDArray[Any],
    plan: StackPlan,
    store: CorrectionStore,
    journal: Journal | None,
    without: Collection[int] = (),
) -> tuple[npt.NDArray[Any] | None, bool]:
    """The mask that people drew for an image, and whether it is approved.

    `plan` has all planes of the image. Masks that are not, or no longer, approved come from `journal`, if there is one,
    but for the edits in `without`, as in `Journal.last_mask`. Raises `InputError` if a mask is damaged, or covers other
    pixels.
    """
    shape = plan.labels_shape
    mask = approved_mask(pixels, plan.planes, shape, store)
    if mask is not None or journal is None:
        return mask, mask is not None
    mask = journal.last_mask(content_hash(pixels), without)
    if mask is None:
        mask = approved_mask(pixels, plan.planes, shape, store, former=True)
    # A mask that was brought to another shape meanwhile is no mask of this image.
    return (mask if mask is not None and mask.shape == shape else None), False


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMask:
    """A mask with what goes into its file, see `write_mask`."""

    labels: npt.NDArray[Any]
    spacing: Spacing | None
    axes: str | None = None
    provenance: Provenance | None = None
    like: Geometry | Path | None = None

    @classmethod
    def of(
        cls, loaded: LoadedImage, store: CorrectionStore, journal: Journal | None, *, keep_names: bool = False
    ) -> DrawnMask | None:
        """What `drawn_mask` finds for an image that was read; None where nobody drew a mask."""
        for plan in _plans(loaded):
            labels, _ = drawn_mask(loaded.pixels, plan, store, journal)
            if labels is not None:
                found = (store.find(content_hash(loaded.pixels[index])) for index, _ in plan.planes)
                first = next((one for one in found if one is not None), None)
                provenance = None if first is None else provenance_of(first, keep_names=keep_names)
                axes = "".join(loaded.axes[axis] for axis in plan.kept_axes)
                return cls(labels, loaded.spacing, axes, provenance, loaded.source)
        return None


def _plans(loaded: LoadedImage) -> Iterator[StackPlan]:
    """The planes of an image, channel by channel: a mask belongs to one of them."""
    shape, dtype, labels = loaded.pixels.shape, loaded.pixels.dtype, loaded.axes.lower()
    rgb = loaded.axes.endswith("S")
    try:
        yield plan_stack(shape, dtype, rgb, labels, every=True)
    except ChannelNeeded as needed:
        for channel in needed.choices:
            yield plan_stack(shape, dtype, rgb, labels, every=True, channel=channel)


@dataclass(frozen=True, slots=True, eq=False)
class MaskFile:
    """A mask to be written: the name of its image, where it goes, and what finds it, or None."""

    image: str
    path: Path
    find: Callable[[], DrawnMask | None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written so far, and what was not."""

    written: int = 0  # number of masks
    kept: tuple[MaskFile, ...] = ()  # whose files exist already and were left as they are
    without: tuple[str, ...] = ()  # names of images that nobody drew a mask for
    failed: tuple[tuple[str, str], ...] = ()  # names of files that could not be written, and why

    @property
    def count(self) -> int:
        """Number of masks that were dealt with."""
        return self.written + len(self.kept) + len(self.without) + len(self.failed)


def iter_export(files: Iterable[MaskFile], *, overwrite: bool = False) -> Generator[Exported, None, Exported]:
    """Write masks, one after the other, and yield what was done so far; one that fails stops no other."""
    done = Exported()
    for file in files:
        done = _write(file, done, overwrite)
        yield done
    return done


def _write(file: MaskFile, done: Exported, overwrite: bool) -> Exported:
    if file.path.exists() and not overwrite:
        return replace(done, kept=(*done.kept, file))
    try:
        found = file.find()
        if found is None:
            return replace(done, without=(*done.without, file.image))
        write_mask(file.path, found.labels, found.spacing, found.axes, found.provenance, found.like)
    except InputError as error:
        return replace(done, failed=(*done.failed, (file.path.name, str(error))))
    return replace(done, written=done.written + 1)
