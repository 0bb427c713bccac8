"""Save a mask: the dialog and the job behind it."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_wavegms.errors import WaveGMSError
from napari_wavegms.files.discovery import mask_ending, stem_of
from napari_wavegms.files.geometry import Geometry
from napari_wavegms.files.labels import checked_axes
from napari_wavegms.files.mask_writer import write_mask
from napari_wavegms.files.napari_writers import axes_from_names, drawn_on, spacing_from_scale
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.storage.atomic import remedy

FILTERS = {
    "TIFF mask with spacing (*.tif *.tiff)": ".tif",
    "PNG mask (*.png)": ".png",
    "NIfTI mask on its volume (*.nii.gz *.nii)": ".nii.gz",
    "DICOM segmentation of its image (*.dcm)": ".dcm",
}

_DOUBLE_ENDINGS = (".nii.gz", ".ome.tif", ".ome.tiff")


@dataclass(frozen=True, slots=True, eq=False)
class SaveRequest:
    """A mask and what goes into its file."""

    path: Path
    labels: npt.NDArray[Any]
    scale: tuple[float, ...]
    units: tuple[str, ...]
    axis_labels: tuple[str, ...]
    provenance: Provenance
    like: Geometry | Path | None = None

    @classmethod
    def of(cls, path: Path, mask: Labels, provenance: Provenance) -> SaveRequest:
        """Collect what a mask's file needs; the labels are copied, so that painting may go on meanwhile."""
        return cls(
            path=path,
            labels=np.array(mask.data),
            scale=tuple(float(size) for size in mask.scale),
            units=tuple(str(unit) for unit in mask.units),
            axis_labels=tuple(str(label) for label in mask.axis_labels),
            provenance=provenance,
            like=drawn_on(path, mask.metadata, mask.data.shape),
        )


def suggested_path(image_name: str, source: str | None, folder: Path | None = None) -> Path:
    """Suggest a file beside the image's `source`; otherwise one in `folder`.

    ``scan.png`` gives ``scan_mask.tif``, and a volume ``scan_mask.nii.gz``.
    """
    if source and not re.match(r"\w{2,}:/", source):  # an address is no folder; one letter is a Windows drive
        file = Path(source)
        ending = next((ending for ending in _DOUBLE_ENDINGS if file.name.lower().endswith(ending)), file.suffix)
        stem = file.name.removesuffix(file.name[-len(ending) :]) if ending else file.name
        return file.parent / f"{stem}_mask{'.nii.gz' if mask_ending(file) == 'nii.gz' else '.tif'}"
    safe = re.sub(r"[^\w.-]+", "_", image_name).strip("._") or "image"
    return (folder or Path.cwd()) / f"{safe}_mask.tif"


def why_not_overwrite(viewer: ViewerModel, path: Path) -> str:
    """Say which open image a file belongs to, so that a mask may not be written over it; empty for any other file."""
    for layer in viewer.layers:
        source = Path(layer.source.path) if isinstance(layer, Image) and layer.source.path else None
        # Of pathlib's own, `exists` raises for a name that is too long.
        if source is None or not (os.path.exists(path) and os.path.exists(source)):  # noqa: PTH110
            continue
        # Of a folder that was opened as a stack any file may be a plane, but for masks.
        is_plane = source.is_dir() and source.samefile(path.parent) and not path.stem.endswith("_mask")
        if is_plane or source.samefile(path):
            return f"{path.name} is the file of the open image {layer.name}. Choose another name for the mask."
    return ""


def with_suffix(path: Path, chosen_filter: str) -> Path:
    """Add the ending of the chosen file type to a name typed without one."""
    return path if path.suffix else path.with_suffix(FILTERS.get(chosen_filter, ".tif"))


def save_job(request: SaveRequest) -> Generator[None, None, Path]:
    """Write the file, and return its path.

    Raises
    ------
    WaveGMSError
        If the format cannot hold the mask, or the file cannot be written.
    """
    yield  # a job is a generator; this one has a single step
    axes = axes_from_names(request.axis_labels, request.labels.ndim)
    spacing = spacing_from_scale(request.scale, request.units, checked_axes(axes, request.labels.ndim))
    try:
        return write_mask(request.path, request.labels, spacing, axes, request.provenance, request.like)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WaveGMSError(f"{request.path} cannot be written ({reason}); {remedy(error)}") from error


class SaveDialog(QFileDialog):
    """A save dialog for mask files.

    Signals
    -------
    chosen(Path)
        With an ending that says the format.
    """

    chosen = Signal(object)

    def __init__(self, suggestion: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent, "Save mask", str(suggestion.parent), ";;".join(FILTERS))
        self.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        self.setFileMode(QFileDialog.FileMode.AnyFile)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        ending = suggestion.name.removeprefix(stem_of(suggestion))
        self.selectNameFilter(next((name for name, suffix in FILTERS.items() if suffix == ending), next(iter(FILTERS))))
        self.setDefaultSuffix(ending.lstrip("."))
        self.selectFile(suggestion.name)
        self.filterSelected.connect(self._on_filter)
        self.fileSelected.connect(self._on_file)

    def _on_filter(self, name: str) -> None:
        suffix = FILTERS.get(name, ".tif")
        self.setDefaultSuffix(suffix.lstrip("."))
        if self.selectedFiles():
            self.selectFile(stem_of(self.selectedFiles()[0]) + suffix)

    def _on_file(self, name: str) -> None:
        self.chosen.emit(with_suffix(Path(name), self.selectedNameFilter()))
