"""Load a mask from a file for an open image: the job behind the dialog, and where the mask goes."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from functools import partial
from pathlib import Path

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.files.discovery import SUFFIXES, stem_of
from napari_wavegms.files.napari_writers import PROVENANCE_KEY
from napari_wavegms.files.reading import MaskDetails, read_mask_details
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers import mask_layers
from napari_wavegms.widgets.layers.image_info import ChannelChoice, ImageFacts
from napari_wavegms.widgets.layers.mask_history import MaskMemory, plane_key, selection
from napari_wavegms.widgets.layers.undoable import write_planes
from napari_wavegms.widgets.tools.save_mask import suggested_path
from napari_wavegms.wording import percent, sides


def load_job(path: Path) -> Generator[None, None, MaskDetails]:
    """Read a mask of ours or of another program."""
    yield
    return read_mask_details(path)


def show_mask(
    viewer: ViewerModel, image: Image, channel: ChannelChoice | None, found: MaskDetails
) -> tuple[Labels, str]:
    """Make a mask from a file the mask of an image, as one undo step where the image has one; say what happened.

    `channel` is the one to take for a mask that does not know its own.

    Raises
    ------
    InputError
        If the mask has not the image's size, which the sentence tells.
    """
    kept = found.provenance
    if kept is not None and kept.channel is not None and kept.channel_axis is not None:
        channel = ChannelChoice(kept.channel_axis, kept.channel)
    plan = ImageFacts.of(image, viewer.dims).plan(every=True, channel=channel)
    shape, labels, name = plan.labels_shape, found.labels, found.source.name
    if tuple(side for side in labels.shape if side > 1) != tuple(side for side in shape if side > 1):
        raise InputError(
            f"{name} is {sides(labels.shape)}, but {image.name} is {sides(shape)}. Choose the mask of this image."
        )
    labels = labels.reshape(shape)
    mask = mask_layers.mask_for(viewer, image.unique_id, plan)
    if mask is None or labels.max(initial=0) > np.iinfo(mask.data.dtype).max:
        memory = MaskMemory(image.unique_id, "" if kept is None else kept.model, ChannelChoice.of(plan))
        place = mask_layers.mask_place(image, plan)
        mask = mask_layers.new_mask(labels, mask_layers.mask_name(image, memory.channel), place, memory)
        mask.metadata |= {} if kept is None else {PROVENANCE_KEY: kept.as_dict()}
        viewer.add_layer(mask)
        undo = ""
    else:
        keys = [plane_key(plan.label_index(number)) for number in range(plan.total)]
        undo = " Press Ctrl+Z to undo." if write_planes(mask, {key: labels[selection(key)] for key in keys}) else ""
    made_for = "" if kept is None else kept.source
    stranger = f" It was made for {made_for}." if made_for and stem_of(made_for) != stem_of(str(image.name)) else ""
    note = f" {found.note}" if found.note else ""
    return mask, f"Loaded {name}: {percent(float(np.mean(labels > 0)))} of {image.name} labelled.{stranger}{note}{undo}"


class MaskLoader(QObject):
    """Loads one mask at a time, in the background.

    Signals
    -------
    said(str, str)
        A sentence for the status line, and ``"problem"`` where it is one.
    """

    said = Signal(str, str)

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._window = viewer, parent
        self._asked: tuple[Hashable, ChannelChoice | None] = None, None
        self._runner = JobRunner(self)
        self._runner.ended.connect(self._on_end)

    def ask(self, image_id: Hashable, channel: ChannelChoice | None) -> None:
        """Let a person choose a file for an image."""
        image = mask_layers.layer_by_id(self._viewer, image_id)
        if image is not None:
            folder = suggested_path(str(image.name), image.source.path).parent
            masks = " ".join(f"*{suffix}" for suffix in SUFFIXES)
            dialog = QFileDialog(self._window, "Load mask", str(folder), f"Masks ({masks});;All files (*)")
            dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.fileSelected.connect(lambda name: self.load(Path(name), image_id, channel))
            dialog.open()

    def load(self, path: Path, image_id: Hashable, channel: ChannelChoice | None = None) -> None:
        """Load a mask for an open image; `channel` is the one to take for a mask that does not know its own."""
        if not self._runner.busy:
            self._asked = image_id, channel
            self.said.emit(f"Loading {path.name}…", "")
            self._runner.start(partial(load_job, path))

    def close(self) -> None:
        """Stop."""
        self._runner.abandon()

    def _on_end(self, outcome: Outcome) -> None:
        image_id, channel = self._asked
        image = mask_layers.layer_by_id(self._viewer, image_id)
        try:
            if outcome.error is not None:
                raise outcome.error
            if image is None:
                raise InputError("The image was removed while its mask was loaded. Open it again, then load the mask.")
            mask, sentence = show_mask(self._viewer, image, channel, outcome.result)
        except WaveGMSError as error:
            self.said.emit(str(error), "problem")
        else:
            mask_layers.hand_to_painter(self._viewer, mask)
            self.said.emit(sentence, "")
