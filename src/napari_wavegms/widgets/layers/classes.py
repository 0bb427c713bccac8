"""The classes of a mask layer: their names are its features, which napari's status bar shows, their colours its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap

from napari_wavegms.errors import InputError
from napari_wavegms.files.labels import overlay_colors
from napari_wavegms.model.card import MOST_CLASSES

_NAME = "name"


def named_labels(layer: Labels) -> dict[int, str]:
    """The names of a layer's labels, without the background; empty where it has none."""
    table = layer.features
    if _NAME not in table:
        return {}
    labels = table["index"] if "index" in table else range(len(table))
    return {int(label): str(name) for label, name in zip(labels, table[_NAME], strict=True) if label > 0 and name}


def name_labels(layer: Labels, names: Mapping[int, str], colors: Sequence[str] = ()) -> None:
    """Give labels names, beside what else is noted about them, and the colours ``#rrggbb`` of labels from 1 up."""
    table = layer.features
    labels = [int(label) for label in (table["index"] if "index" in table else range(len(table)))]
    rows = dict(zip(labels, table.to_dict("records"), strict=True))
    names = {0: "background", **names}  # or the status bar says that it has no properties
    every = sorted({*labels, *names})
    others = [column for column in table.columns if column not in ("index", _NAME)]
    known = named_labels(layer) | dict(names)
    columns = {column: [rows.get(label, {}).get(column, np.nan) for label in every] for column in others}
    layer.features = {"index": every, _NAME: [known.get(label, "") for label in every], **columns}
    if colors:
        paint = np.array(layer.colormap.colors)
        for label, color in enumerate(colors[: len(paint) - 1], start=1):
            paint[label, :3] = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        layer.colormap = label_colormap(paint)


def label_colormap(colors: npt.NDArray[np.floating]) -> CyclicLabelColormap:
    """A colormap of labels with these colours, (N, 4) from 0 to 1, of which the first is no label's."""
    return CyclicLabelColormap(colors=colors, background_value=0)


def our_colors(colors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Colours (N, 4) of labels as our files have them, too; napari's own 1 is dark brown."""
    ours = np.array(colors)
    ours[1:, :3] = overlay_colors()[1 : len(ours)] / 255
    return ours


def with_class(layer: Labels, name: str, classes: int = 1) -> int:
    """Name the first label behind those of a model and those that are named, and return it.

    Raises `InputError` where the name is empty or used, or there are too many classes.
    """
    known, wanted = named_labels(layer), " ".join(name.split())
    if not wanted:
        raise InputError("A class needs a name. Type one, such as cyst.")
    if used := next((used for used in known.values() if used.lower() == wanted.lower()), ""):
        raise InputError(f"There is a class {used} already. Give another name.")
    label = max(classes, *known, 0) + 1
    if label > MOST_CLASSES:
        raise InputError(f"There are {MOST_CLASSES} classes, which is the most that a model can have.")
    name_labels(layer, {label: wanted})
    return label
