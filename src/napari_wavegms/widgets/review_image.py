"""One image of a review on screen: its layers, which come when it is shown and go when it is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wavegms.files.spacing import PIXEL
from napari_wavegms.review.corrections import Approval
from napari_wavegms.review.journal import EditTarget
from napari_wavegms.review.overwrite import Overwrite, merged
from napari_wavegms.widgets.drag_watch import DragWatch
from napari_wavegms.widgets.labels_writing import read_plane, write_planes
from napari_wavegms.widgets.mask_layers import hand_to_painter, layer_by_id
from napari_wavegms.widgets.mask_memory import MaskMemory, PlaneKey, Written, plane_key, remember_mask, selection
from napari_wavegms.widgets.placement import Placement
from napari_wavegms.widgets.review_predict import Picture

if TYPE_CHECKING:
    from napari.components import ViewerModel  # type: ignore[import-untyped]
    from napari.layers import Image, Labels  # type: ignore[import-untyped]

_LOCKED_OPACITY = 0.45
_OPACITY = 0.7  # napari's own


@dataclass(slots=True, eq=False)
class Shown:
    """The image on screen, and how far one is with it.

    Attributes
    ----------
    picture : Picture
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

    picture: Picture
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
        self.mask.opacity = _LOCKED_OPACITY if approved else _OPACITY

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


def show_picture(
    viewer: ViewerModel,
    picture: Picture,
    mask: Any = None,
    guest: Image | None = None,
    spare: Image | None = None,
) -> Shown:
    """Put an image and its mask into the viewer.

    Parameters
    ----------
    viewer : ViewerModel
    picture : Picture
    mask : ndarray, optional
        What a person had drawn before; an empty mask otherwise.
    guest : napari.layers.Image, optional
        The layer that shows the image already.
    spare : napari.layers.Image, optional
        The layer of the image before, which is taken over where it fits and removed where not: to add a layer takes
        napari a tenth of a second, and to remove one several.
    """
    if guest is None and spare is not None and _takes(spare, picture):
        image = _taken_over(spare, picture)
    else:
        remove_layer(viewer, spare)
        image = _add_image(viewer, picture) if guest is None else guest
    dropped = [axis for axis in range(image.ndim) if axis not in picture.plan.kept_axes]
    data = np.zeros(picture.plan.labels_shape, np.uint8) if mask is None else mask
    layer = viewer.add_labels(
        data, name=f"{picture.name} mask", opacity=_OPACITY, **Placement.of(image).without(dropped).as_arguments()
    )
    memory = MaskMemory(image.unique_id, "")
    remember_mask(layer, memory)
    viewer.reset_view()
    return Shown(picture, image, layer, memory, DragWatch(layer), is_guest=guest is not None, kept=mask is not None)


def hide_picture(viewer: ViewerModel, shown: Shown) -> Image | None:
    """Take an image out of the viewer again; gives its layer, to be taken over or removed. The user's own stays."""
    shown.drag.close()
    for layer in (shown.beside, shown.mask):
        remove_layer(viewer, layer)
    if shown.is_guest or layer_by_id(viewer, shown.image.unique_id) is None:
        return None
    shown.image.visible = False
    return shown.image


def remove_layer(viewer: ViewerModel, layer: Image | Labels | None) -> None:
    """Remove a layer if it is there."""
    if layer is not None and layer_by_id(viewer, layer.unique_id) is not None:
        viewer.layers.remove(layer)


def hand_over(viewer: ViewerModel, shown: Shown) -> None:
    """Give the brush for a mask that may be painted; select one that is locked."""
    if shown.approved:
        viewer.layers.selection.active = shown.mask
        shown.mask.mode = "pan_zoom"
    else:
        hand_to_painter(viewer, shown.mask)


def _add_image(viewer: ViewerModel, picture: Picture) -> Image:
    scale, units = _place(picture)
    common: dict[str, Any] = {"rgb": picture.plan.rgb, "name": picture.name, "scale": scale}
    try:
        return viewer.add_image(picture.pixels, units=units, **common)
    except ValueError:  # a unit that napari does not know
        return viewer.add_image(picture.pixels, **common)


def _takes(layer: Image, picture: Picture) -> bool:
    """Whether a layer can show another image as if it were new."""
    fits = bool(layer.rgb) == picture.plan.rgb and layer.data.ndim == picture.pixels.ndim
    return fits and layer.data.dtype == picture.pixels.dtype and tuple(map(str, layer.units)) == _place(picture)[1]


def _taken_over(layer: Image, picture: Picture) -> Image:
    layer.data = picture.pixels
    layer.name, layer.scale = picture.name, _place(picture)[0]
    if not picture.plan.rgb:
        layer.reset_contrast_limits_range()
        layer.reset_contrast_limits()
    layer.visible = True
    return layer


def _place(picture: Picture) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Scale and units of the axes."""
    dimensions = len(picture.plan.shape) - picture.plan.rgb
    spacing = picture.spacing
    known = len(spacing.size) if spacing is not None and len(spacing.size) <= dimensions else 0
    if spacing is None or not known:
        return (1.0,) * dimensions, (PIXEL,) * dimensions
    bare = dimensions - known
    return (1.0,) * bare + tuple(spacing.size), (PIXEL,) * bare + (spacing.unit,) * known
