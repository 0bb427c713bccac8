"""OME-Zarr images, versions 0.4 and 0.5: pyramids read window by window, and labels written into them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_wavegms.errors import InputError
from napari_wavegms.files.formats.decoded import Decoded
from napari_wavegms.files.labels import class_colors_over_image
from napari_wavegms.files.provenance import KEY, Provenance, Record
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.storage.atomic import explain_os_error
from napari_wavegms.storage.memory import ask_for_memory

LABELS = "labels"
VERSIONS = ("0.4", "0.5")
_MARKS = ("zarr.json", ".zattrs", ".zgroup")
_AXES = "TCZYX"
_CHUNK = 1024  # rows and columns of a chunk of labels
_OPAQUE = 255
_RGB = ("FF0000", "00FF00", "0000FF")


class Labelled(Protocol):
    """The mask of a plane at rows and columns of its finest level, and a bound of its probability within some."""

    def labels(self, rows: NDArray[Any], columns: NDArray[Any], threshold: float, /) -> NDArray[Any]:
        """At rows and columns, in pixels."""

    def highest(self, rows: slice, columns: slice, /) -> float:
        """At least the highest probability there."""


def is_image(path: Path) -> bool:
    """Whether a path is the folder of a Zarr group."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


class Plane:
    """A plane of an array, of which ``plane[rows, columns]`` reads a window and nothing else.

    `index` has a place, or a whole slice for rows, columns and colours, along each axis; colours come last.
    """

    def __init__(self, array: Any, index: tuple[int | slice, ...], colours: int | None = None) -> None:
        self._array, self._index, self._colours = array, index, colours
        self._whole = [axis for axis, at in enumerate(index) if isinstance(at, slice)]
        if colours is not None:
            self._whole = [*(axis for axis in self._whole if axis != colours), colours]
        self.shape = tuple(int(array.shape[axis]) for axis in self._whole)

    def __getitem__(self, window: tuple[slice, slice]) -> NDArray[Any]:
        index = list(self._index)
        index[self._whole[0]], index[self._whole[1]] = window
        try:
            part = np.asarray(self._array[tuple(index)])
        except (MemoryError, InputError):
            raise
        except Exception as cause:  # whatever a codec says to damaged chunks
            raise InputError(f"A part of the image cannot be read ({cause}). Copy or write it again.") from cause
        return part if self._colours is None else np.moveaxis(part, 0, 2)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :], dtype)


def in_level(index: tuple[int | slice, ...], shape: Sequence[int], level: Sequence[int]) -> tuple[int | slice, ...]:
    """An index of an array of one shape, in a level of it that may have fewer slices."""
    lengths = zip(index, shape, level, strict=True)
    return tuple(int((at + 0.5) * n / whole) if isinstance(at, int) else at for at, whole, n in lengths)


@dataclass(frozen=True, slots=True, eq=False)
class OmeZarr:
    """An image: its levels (arrays of Zarr, the finest first), a letter for each axis, and its metadata.

    `colours` tells whether its three channels are red, green and blue.
    """

    path: Path
    version: str
    levels: tuple[Any, ...]
    axes: str
    multiscale: Mapping[str, Any]
    colours: bool

    @property
    def label_axes(self) -> str:
        """Those that its labels have, too."""
        return self.axes.replace("C", "")

    @property
    def plan_axes(self) -> str:
        """Its axes; without that of its channels where they are colours."""
        return self.label_axes if self.colours else self.axes

    @property
    def plan_shape(self) -> tuple[int, ...]:
        """The lengths of `plan_axes` at the finest level."""
        lengths = dict(zip(self.axes, self.levels[0].shape, strict=True))
        return tuple(lengths[letter] for letter in self.plan_axes)

    @property
    def spacing(self) -> Spacing | None:
        """The size of a pixel of the finest level."""
        scale = np.ones(len(self.axes))
        for holder in (self.multiscale["datasets"][0], self.multiscale):
            for step in holder.get("coordinateTransformations", ()):
                if step.get("type") == "scale":
                    scale = scale * np.asarray(step["scale"], float)
        spatial = [place for place, letter in enumerate(self.axes) if letter in "ZYX"]
        units = {self.multiscale["axes"][place].get("unit", "pixel") for place in spatial}
        return Spacing.plausible([float(scale[place]) for place in spatial], units.pop()) if len(units) == 1 else None

    def planes(self, index: tuple[int | slice, ...]) -> list[Plane]:
        """A plane of all levels, the finest first; `index` has a place or a slice for each of `plan_axes`."""
        places = dict(zip(self.plan_axes, index, strict=True))
        whole = tuple(places.get(letter, slice(None)) for letter in self.axes)
        colours = self.axes.index("C") if self.colours else None
        return [Plane(array, in_level(whole, self.levels[0].shape, array.shape), colours) for array in self.levels]


def open_image(path: Path) -> OmeZarr:
    """Open an image; raises `InputError`, one sentence, for what is none that can be read."""
    group = _open(path)
    try:
        image = _understood(group, path)
        _ = image.spacing
        for holder in (image.multiscale, *image.multiscale["datasets"]):
            for step in holder.get("coordinateTransformations", ()):
                if len(step.get(step["type"], image.axes)) != len(image.axes):
                    raise ValueError(f"its {step['type']} does not have {len(image.axes)} numbers")
    except InputError:
        raise
    except (OSError, AttributeError, ArithmeticError, IndexError, KeyError, TypeError, ValueError) as cause:
        raise InputError(f"The metadata of {path} is damaged ({cause}). Copy or write it again.") from cause
    return image


def _understood(group: Any, path: Path) -> OmeZarr:
    about = dict(group.attrs)
    about = {**about, **about.get("ome", {})}
    multiscale = next(iter(about.get("multiscales", ())), None)
    if multiscale is None:
        what = "a plate" if "plate" in about else "a well" if "well" in about else "a Zarr group without multiscales"
        inside = ", ".join(sorted(one.name for one in path.iterdir() if is_image(one))[:3])
        raise InputError(f"{path} is {what}, not an image. Choose an image in it{inside and f', such as {inside}'}.")
    version = str(about.get("version") or multiscale.get("version") or "0.4")
    if version not in VERSIONS:
        raise InputError(f"{path} is OME-Zarr {version}; Wave-GMS reads {' and '.join(VERSIONS)}. Convert it.")
    axes = "".join(str(axis["name"]) for axis in multiscale["axes"]).upper()
    names = [str(dataset["path"]) for dataset in multiscale["datasets"]]
    if not axes.endswith("YX") or len(set(axes)) < len(axes) or not set(axes) <= set(_AXES):
        raise InputError(f"{path} has the axes {axes.lower()}; Wave-GMS reads t, c, z and, at the end, y and x.")
    if any(".." in Path(name).parts or Path(name).is_absolute() for name in names):
        raise InputError(f"{path} names an array outside its folder. Copy or write it again.")
    levels = [group.get(name) for name in names]
    for name, level in zip(names, levels, strict=True):
        if len(getattr(level, "shape", ())) != len(axes):
            raise InputError(f"{path} lacks the array {name} of {len(axes)} axes that it names. Copy it again.")
    if not levels:
        raise InputError(f"The multiscales of {path} name no dataset. Write it again.")
    channels = about.get("omero", {}).get("channels", ())
    colours = tuple(str(channel.get("color", "")).upper() for channel in channels) == _RGB
    has_three = "C" in axes and levels[0].shape[axes.index("C")] == 3 and levels[0].dtype == np.uint8
    return OmeZarr(path, version, tuple(levels), axes, multiscale, colours and has_three)


def decode(path: Path) -> Decoded:
    """The finest level as a whole; labels that we wrote with where they came from."""
    image = open_image(path)
    finest = image.levels[0]
    ask_for_memory(path, finest.nbytes)
    pixels, axes = np.asarray(finest[:]), image.axes
    if image.colours:
        pixels, axes = np.moveaxis(pixels, axes.index("C"), -1), f"{image.label_axes}S"
    return Decoded(pixels, axes, image.spacing, record=_record(_open(path), pixels, axes, image.spacing))


def _record(group: Any, pixels: NDArray[Any], axes: str, spacing: Spacing | None) -> Record | None:
    """What `LabelWriter.describe` noted, where we wrote the labels."""
    try:
        return Record(axes, pixels.shape, spacing, Provenance.from_dict(group.attrs[KEY]))
    except (InputError, KeyError):
        return None


@contextmanager
def label_writer(image: OmeZarr, target: Path) -> Iterator[LabelWriter]:
    """Write labels beside their place in the image, and move them there, over older ones, once all is written."""
    folder = target.parent
    beside = folder / f".{target.name}.unfinished"
    with explain_os_error(f"Cannot write {target}", folder):
        shutil.rmtree(beside, ignore_errors=True)
        _group(folder, image)
        try:
            yield LabelWriter(image, beside)
            if target.exists():
                shutil.rmtree(target)
            beside.replace(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        attributes = _group(folder, image).attrs
        known = attributes.get("ome", {}) if image.version == "0.5" else dict(attributes)
        names = {LABELS: sorted({*known.get(LABELS, ()), target.name})}
        attributes.update({"ome": {**known, "version": image.version, **names}} if image.version == "0.5" else names)


class LabelWriter:
    """Labels of an image, at each of its levels, written plane by plane and in parts of a plane."""

    def __init__(self, image: OmeZarr, folder: Path) -> None:
        self._image, self._group = image, _group(folder, image)
        kept = [place for place, letter in enumerate(image.axes) if letter != "C"]
        self._kept = kept
        self._arrays = []
        for number, level in enumerate(image.levels):
            shape = tuple(level.shape[place] for place in kept)
            options: dict[str, Any] = {"dimension_names": list(image.label_axes.lower())}
            if image.version == "0.4":
                options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
            chunks = (*(1,) * (len(kept) - 2), *(min(_CHUNK, side) for side in shape[-2:]))
            array = self._group.create_array(
                str(number), shape=shape, dtype=np.uint8, chunks=chunks, fill_value=0, **options
            )
            self._arrays.append(array)

    def write(self, index: tuple[int | slice, ...], found: Labelled, threshold: float) -> int:
        """Write a plane at its place, and return how many pixels of the finest level are labelled."""
        labelled = 0
        finest = self._arrays[0].shape
        for array in self._arrays:
            places = in_level(index, finest, array.shape)[:-2]
            if in_level((*places, *index[-2:]), array.shape, finest) != index:
                continue  # a slice that a coarser level leaves out
            down, across = finest[-2] / array.shape[-2], finest[-1] / array.shape[-1]
            for top in range(0, array.shape[-2], _CHUNK):
                for left in range(0, array.shape[-1], _CHUNK):
                    rows = (np.arange(top, min(top + _CHUNK, array.shape[-2])) + 0.5) * down - 0.5
                    columns = (np.arange(left, min(left + _CHUNK, array.shape[-1])) + 0.5) * across - 0.5
                    if found.highest(_span(rows), _span(columns)) < threshold:
                        continue
                    part = found.labels(rows, columns, threshold)
                    if part.any():
                        array[(*places, slice(top, top + len(rows)), slice(left, left + len(columns)))] = part
                        labelled += int(np.count_nonzero(part)) if array is self._arrays[0] else 0
        return labelled

    def describe(self, name: str, provenance: Provenance) -> None:
        """Write what the labels mean: names, colours, size of a pixel, and where they came from."""
        image = self._image
        axes = [dict(image.multiscale["axes"][place]) for place in self._kept]
        datasets = [
            {"path": str(number), "coordinateTransformations": self._without_channels(dataset)}
            for number, dataset in enumerate(image.multiscale["datasets"])
        ]
        multiscale: dict[str, Any] = {"name": name, "axes": axes, "datasets": datasets}
        if "coordinateTransformations" in image.multiscale:
            multiscale["coordinateTransformations"] = self._without_channels(image.multiscale)
        colours = class_colors_over_image(provenance.class_colors)
        names = provenance.class_names or ("background", "lesion")
        about = {
            "colors": [
                {"label-value": value, "rgba": [*map(int, colours[value]), _OPAQUE]} for value in range(1, len(names))
            ],
            "properties": [_properties(value, name, provenance) for value, name in enumerate(names) if value],
            "source": {"image": "../../"},
        }
        if image.version == "0.5":
            ours: dict[str, Any] = {"ome": {"version": "0.5", "multiscales": [multiscale], "image-label": about}}
        else:
            multiscale["version"] = about["version"] = image.version
            ours = {"multiscales": [multiscale], "image-label": about}
        self._group.attrs.update({**ours, KEY: provenance.as_dict()})

    def _without_channels(self, holder: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The coordinate transformations of a dataset or of all, for the axes that labels have."""
        steps = holder.get("coordinateTransformations", ())
        return [
            {"type": step["type"], step["type"]: [step[step["type"]][place] for place in self._kept]}
            for step in steps
            if step.get("type") in ("scale", "translation") and step["type"] in step
        ]


def _properties(value: int, name: str, provenance: Provenance) -> dict[str, Any]:
    codes = provenance.class_codes
    code = codes[value - 1] if value <= len(codes) else ""
    return {"label-value": value, "name": name} | ({"code": code} if code else {})


def _span(places: NDArray[Any]) -> slice:
    return slice(math.floor(places[0]), math.ceil(places[-1]) + 1)


def _open(path: Path) -> Any:
    try:
        import zarr
    except ImportError as cause:
        raise InputError(
            f"{path} is read by zarr, which is not installed. Run 'pip install napari-wavegms[zarr]'."
        ) from cause
    try:
        return zarr.open_group(path, mode="r")
    except Exception as cause:  # zarr raises anything over damaged metadata
        raise InputError(f"{path} cannot be read as a Zarr group ({type(cause).__name__}). Copy it again.") from cause


def _group(path: Path, image: OmeZarr) -> Any:
    """A group in the image, made where there is none."""
    import zarr

    return zarr.open_group(path, mode="a", zarr_format=3 if image.version == "0.5" else 2)
