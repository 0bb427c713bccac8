"""An image of the list, read and ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.corrections.records import Approval
from napari_wavegms.errors import InputError
from napari_wavegms.files.reading import read_image
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.journal.records import EditTarget
from napari_wavegms.segment.merging import Overwrite, merged
from napari_wavegms.segment.planes import Index, StackPlan, plan_stack
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.widgets.layers.mask_history import MaskMemory, PlaneKey, Probability, Written, plane_key, selection
from napari_wavegms.widgets.layers.stroke_guard import DragWatch
from napari_wavegms.widgets.layers.undoable import read_plane, write_planes
from napari_wavegms.worklist.item import Item

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_wavegms.segment.ood import OODLevel


@dataclass(frozen=True, slots=True, eq=False)
class ReviewImage:
    """An image as it was read.

    Attributes
    ----------
    key, name : str
        Of its item.
    pixels : ndarray
    plan : StackPlan
        All of its planes.
    spacing : Spacing or None
    content : str
        Content hash of the pixels.
    source : str
        Its file, if any.
    """

    key: str
    name: str
    pixels: Any
    plan: StackPlan
    spacing: Spacing | None
    content: str
    source: str = ""

    @property
    def planes(self) -> list[tuple[Index, Index]]:
        """Where each plane lies in the pixels and in the mask."""
        plan = self.plan
        return [(index, plan.label_index(number)) for number, index in enumerate(plan.indices)]

    @property
    def bytes(self) -> int:
        """What it takes in memory, with a prediction."""
        return int(self.pixels.nbytes + 4 * np.prod(self.plan.labels_shape))


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model says of an image.

    Attributes
    ----------
    key, content : str
        Of the image.
    model : str
        The model's name.
    threshold : float
    planes : mapping of PlaneKey to ndarray of shape (H, W)
        Probabilities.
    uncertainty : float
    score : float or None
        Mean probability inside the mask; None for an empty one.
    light : OODLevel or None
        None where the segmenter is of a kind that knows no light.
    """

    key: str
    content: str
    model: str
    threshold: float
    planes: Mapping[PlaneKey, Probability]
    uncertainty: float
    score: float | None
    light: OODLevel | None

    @property
    def written(self) -> dict[PlaneKey, Written]:
        """What is to be written into a mask."""
        return {key: Written(probability, self.threshold) for key, probability in self.planes.items()}


def read_picture(item: Item) -> ReviewImage:
    """Read an item's file.

    Raises
    ------
    InputError
        If it has none, or one that cannot be read or segmented.
    """
    if item.path is None:
        raise InputError(f"{item.name} is no longer open. Open it again, and press Open layers.")
    loaded = read_image(item.path)
    rgb = loaded.axes.endswith("S")
    axes = loaded.axes.lower().removesuffix("s")
    return picture_of(item, loaded.pixels, rgb, tuple(axes), loaded.spacing, str(item.path))


def picture_of(
    item: Item,
    pixels: Any,
    rgb: bool,
    axes: Sequence[str] | None = None,
    spacing: Spacing | None = None,
    source: str = "",
) -> ReviewImage:
    """Look at pixels that are in memory.

    Raises
    ------
    InputError
        If they are no image that can be segmented.
    """
    plan = plan_stack(pixels.shape, pixels.dtype, rgb, axes, every=True)
    return ReviewImage(item.key, item.name, pixels, plan, spacing, content_hash(pixels), source)


_LOCKED_OPACITY = 0.45

OPACITY = 0.7  # napari's own


@dataclass(slots=True, eq=False)
class Shown:
    """The image on screen, and how far one is with it.

    Attributes
    ----------
    picture : ReviewImage
    image : napari.layers.Image
    mask : napari.layers.Labels
    memory : MaskMemory
    drag : DragWatch
        Of the mask.
    is_guest : bool
        The image layer is the user's own, and stays when the image is left.
    approved : bool
    kept : bool
        The mask is one that a person had worked on before.
    edit : int or None
        Number of the last edit of this sitting, for the journal.
    seconds : float
        Time worked on it before.
    beside : napari.layers.Labels or None
        A mask to compare with, shown beside.
    """

    picture: ReviewImage
    image: Image
    mask: Labels
    memory: MaskMemory
    drag: DragWatch
    is_guest: bool = False
    approved: bool = False
    kept: bool = False
    edit: int | None = None
    seconds: float = 0.0
    beside: Labels | None = None

    @property
    def key(self) -> str:
        """Of its item."""
        return self.picture.key

    @property
    def content(self) -> str:
        """Content hash of the image."""
        return self.picture.content

    @property
    def target(self) -> EditTarget:
        """What the journal is told of it."""
        picture = self.picture
        return EditTarget(
            picture.content, picture.name, tuple(self.mask.data.shape), picture.source, str(self.mask.unique_id)
        )

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has drawn: what the model writes then is where the edits begin."""
        return not (self.kept or self.approved or self.edit) and not self.memory.edited_pixels(
            self.mask.data, self._keys
        )

    def write(self, written: Mapping[PlaneKey, Written], model: str, how: Overwrite) -> int:
        """Write what the model says, as one undo step; give how many pixels changed."""
        befores = {key: np.array(read_plane(self.mask, key)) for key in written}
        afters = {}
        for key, new in written.items():
            ours = self.memory.plane(key).ours(befores[key])
            before = None if ours is None else ours.mask()
            afters[key] = merged(befores[key], new.mask(), before, how)
        changed = write_planes(self.mask, afters)
        for key, new in written.items():
            self.memory.plane(key).note(new, befores[key], afters[key])
        self.memory.model = model
        return changed

    def note(self, written: Mapping[PlaneKey, Written], model: str) -> None:
        """Let the memory know what the model says, without writing it."""
        for key, new in written.items():
            mask = new.mask()
            self.memory.plane(key).note(new, np.zeros_like(mask), mask)
        self.memory.model = model

    def restore(self, mask: Any) -> int:
        """Write a whole mask, as one undo step."""
        return write_planes(self.mask, {key: mask[selection(key)] for key in self._keys})

    def lock(self, approved: bool) -> None:
        """Lock the mask, or let it be painted again."""
        self.approved = approved
        self.mask.editable = not approved
        self.mask.opacity = _LOCKED_OPACITY if approved else OPACITY

    def approvals(self, threshold: float | None, editor: str) -> list[Approval]:
        """What the store is to keep: the labelled planes of a stack, or the one plane there is; arrays are copied."""
        picture, plan = self.picture, self.picture.plan
        approvals = []
        for number, (index, label_index) in enumerate(picture.planes):
            labels = np.array(self.mask.data[label_index])
            if plan.total > 1 and not labels.any():
                continue
            ours = self.memory.plane(plane_key(label_index)).ours(labels)
            place = tuple(at for at in label_index if not isinstance(at, slice)) if plan.total > 1 else ()
            approvals.append(
                Approval(
                    name=picture.name if plan.total == 1 else f"{picture.name} {number + 1}",
                    image=np.array(picture.pixels[index]),
                    mask=labels,
                    prediction=None if ours is None else ours.mask(),
                    source=picture.source,
                    plane=place,
                    spacing=None if picture.spacing is None or plan.total > 1 else picture.spacing,
                    model=self.memory.model if ours is not None else "",
                    threshold=threshold if ours is None else ours.threshold,
                    editor=editor,
                )
            )
        return approvals

    @property
    def _keys(self) -> list[PlaneKey]:
        return [plane_key(label_index) for _, label_index in self.picture.planes]


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """An image that is open in the viewer, as plain values."""

    pixels: Any
    rgb: bool
    axes: tuple[str, ...]
    spacing: Spacing | None
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An image that is ready to be shown.

    Attributes
    ----------
    picture : ReviewImage
    mask : ndarray or None
        What a person had drawn.
    is_approved : bool
    """

    picture: ReviewImage
    mask: Any = None
    is_approved: bool = False
