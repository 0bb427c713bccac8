"""The images of the list as they are read, and their predictions, made before they are asked for."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import InputError, WaveGMSError
from napari_wavegms.files.geometry import Geometry
from napari_wavegms.files.reading import read_image, read_mask_details
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.model.registry import NO_MODEL
from napari_wavegms.segment.planes import (
    ChannelNeeded,
    Index,
    SliceDone,
    StackPlan,
    dtype_of,
    plan_stack,
    segment_planes,
)
from napari_wavegms.segment.segmenter_cache import LoadSegmenter, Progress, SegmenterCache
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.widgets.forms.model_row import ModelChoice, models_for_segmenting
from napari_wavegms.widgets.jobs import JobRunner, Outcome, cached_segmenter
from napari_wavegms.widgets.layers.mask_history import Mask, PlaneKey, Probability, Written, plane_key
from napari_wavegms.widgets.review.panel import ReviewPanel
from napari_wavegms.wording import sides
from napari_wavegms.worklist.item import Item

if TYPE_CHECKING:
    from napari_wavegms.segment.ood import OODLevel

AHEAD = 3
"""So many of the next images are predicted before they are asked for."""

KEPT = 8
"""Images whose pixels and prediction are kept at most."""

LARGEST_KEPT = 512 << 20
"""Bytes that they take together at most; the one on screen is kept whatever it takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Pixels with what is known about their axes.

    Attributes
    ----------
    data : array-like of shape (..., H, W) or (..., H, W, 3 or 4)
    rgb : bool
    axes : tuple of str
        Labels of the axes that are not colour.
    spacing : Spacing or None
    source : str
        Their file, if any.
    geometry : Geometry or None
        Of a volume.
    """

    data: Any
    rgb: bool
    axes: tuple[str, ...]
    spacing: Spacing | None
    source: str
    geometry: Geometry | None = None
    note: str = ""  # what of the file was left out


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """An image in memory: the key and name of its item, its pixels, all of its planes, and its file, if any.

    `mask` is the one that lies beside the file, and `note` says so, or why it is not taken; `left_out` says what of the
    file is not there.
    """

    key: str
    name: str
    pixels: Any
    plan: StackPlan
    spacing: Spacing | None
    content: str
    source: str = ""
    mask: Any = None
    note: str = ""
    geometry: Geometry | None = None
    left_out: str = ""

    @property
    def planes(self) -> list[tuple[Index, Index]]:
        """Where each plane lies in the pixels and in the mask."""
        return self.plan.planes

    @property
    def bytes(self) -> int:
        """Memory it takes together with a prediction."""
        return int(self.pixels.nbytes + 4 * np.prod(self.plan.labels_shape))


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model predicts for an image.

    Attributes
    ----------
    key, content : str
        Of the image.
    model : str
        The model's name.
    threshold : float
    planes : mapping of PlaneKey to ndarray of shape (H, W)
        Probabilities, of the most probable class where there are several.
    classes : mapping of PlaneKey to ndarray of shape (H, W)
        Which class that is; empty for a model of one class.
    uncertainty : float
    score : float or None
        Mean probability inside the mask; None for an empty one.
    light : OODLevel or None
        None where the model cannot tell how far the image is from its training images.
    """

    key: str
    content: str
    model: str
    threshold: float
    planes: Mapping[PlaneKey, Probability]
    uncertainty: float
    score: float | None
    light: OODLevel | None
    window: tuple[float, float] | None = None  # see `Written`
    classes: Mapping[PlaneKey, Mask] = field(default_factory=dict)

    @property
    def written(self) -> dict[PlaneKey, Written]:
        """The planes to write into a mask."""
        return {
            key: Written(probability, self.threshold, self.classes.get(key), self.window)
            for key, probability in self.planes.items()
        }


def load_image(item: Item, pixels: Pixels | None = None) -> LoadedImage:
    """Read an item's file, unless its pixels are in memory already."""
    if pixels is None:
        if item.path is None:
            raise InputError(f"{item.name} is no longer open. Open it again, then press Layers.")
        image = read_image(item.path)
        axes = tuple(image.axes.lower().removesuffix("s"))
        about = image.spacing, str(item.path), image.geometry, image.note
        pixels = Pixels(image.pixels, image.axes.endswith("S"), axes, *about)
    data = np.asarray(pixels.data)
    try:
        plan = plan_stack(data.shape, dtype_of(data), pixels.rgb, pixels.axes, every=True)
    except ChannelNeeded as needed:
        raise InputError(
            f"{item.name} has {len(needed.choices)} channels; Review shows grey or RGB images. Open it with File → "
            "Open and choose one in Wave-GMS Segment, or save each channel as a file of its own."
        ) from needed
    except InputError as error:
        raise InputError(f"{item.name}: {error}") from error
    mask, note = _mask_beside(item, plan.labels_shape)
    content = content_hash(data)
    told = pixels.source, mask, note, pixels.geometry, pixels.note
    return LoadedImage(item.key, item.name, data, plan, pixels.spacing, content, *told)


def _mask_beside(item: Item, shape: tuple[int, ...]) -> tuple[Any, str]:
    """The mask in the files of an item, and a sentence."""
    try:
        found = [read_mask_details(path) for path in item.masks]
    except InputError as error:
        return None, f"⚠ {error}"
    for one in found:
        if [side for side in one.labels.shape if side > 1] != [side for side in shape if side > 1]:
            sizes = f"{sides(one.labels.shape)}, but {item.name} is {sides(shape)}"
            return None, f"⚠ {one.source.name} is {sizes}, so it is not taken up."
    if not found:
        return None, ""
    here = None if item.path is None else item.path.parent
    names = ", ".join(path.name if path.parent == here else f"{path.parent.name}/{path.name}" for path in item.masks)
    return np.maximum.reduce([one.labels.reshape(shape) for one in found]), f"You see the mask of {names}."


Queue = deque[tuple[Item, LoadedImage | None]]
"""What is still to be predicted; the window fills it, the worker empties it."""


def predict_job(
    queue: Queue, choice: ModelChoice, load: LoadSegmenter, cache: SegmenterCache
) -> Generator[Progress | LoadedImage | Prediction | tuple[str, str] | None, None, None]:
    """Predict everything in a queue; for an image that is refused, yields its key and why."""
    segmenter = yield from cached_segmenter(choice.path, "auto", load, cache)
    from napari_wavegms.segment.ood import level_of

    level = level_of(choice.card)
    for item, known in _emptied(queue):
        try:
            loaded = known or load_image(item)
            yield loaded
            found: dict[PlaneKey, SliceDone] = {}
            for done in segment_planes(segmenter, loaded.pixels, loaded.plan):
                found[plane_key(done.index)] = done
                yield None  # where the job can be stopped
        except WaveGMSError as error:
            yield item.key, str(error)
        else:
            yield _prediction(loaded, choice, found, level)


def _emptied(queue: Queue) -> Iterator[tuple[Item, LoadedImage | None]]:
    while True:
        try:
            yield queue.popleft()
        except IndexError:  # no look before it: the window may empty the queue at any moment
            return


def _prediction(
    loaded: LoadedImage,
    choice: ModelChoice,
    found: Mapping[PlaneKey, SliceDone],
    level: Callable[[Any], OODLevel],
) -> Prediction:
    from napari_wavegms.segment.uncertainty import image_uncertainty

    threshold = choice.card.threshold
    planes = {key: np.asarray(done.segmentation.confidence) for key, done in found.items()}
    classes = {key: done.segmentation.classes for key, done in found.items() if done.segmentation.classes is not None}
    stack = np.stack([*planes.values()])
    inside = stack >= threshold
    return Prediction(
        key=loaded.key,
        content=loaded.content,
        model=choice.name,
        threshold=threshold,
        planes=planes,
        uncertainty=image_uncertainty(stack, threshold),
        score=float(stack[inside].mean()) if inside.any() else None,
        light=level(loaded.pixels[loaded.plan.indices[loaded.plan.total // 2]]),
        window=next(iter(found.values())).window,
        classes=classes,
    )


class Prefetch(QObject):
    """Has images predicted in the background, and keeps the latest predictions of the chosen model.

    Signals
    -------
    predicted(Prediction)
        An image of the list was predicted.

    Attributes
    ----------
    choice : ModelChoice or None
        The model that predicts.
    first : str or None
        The key of the image on screen, or on its way there: it is predicted first.
    """

    predicted = Signal(object)

    def __init__(self, panel: ReviewPanel, load: LoadSegmenter, cache: SegmenterCache) -> None:
        super().__init__(panel)
        self.choice: ModelChoice | None = None
        self.first: str | None = None
        self._panel, self._list, self._load, self._cache = panel, panel.list.model, load, cache
        self._queue: Queue = deque()
        self._images: OrderedDict[str, LoadedImage] = OrderedDict()
        self._predictions: dict[str, Prediction] = {}
        self._refused: set[str] = set()
        self._is_broken = False  # the model itself could not be loaded
        self._progress = ""  # shown last about a model that is being loaded
        self._runner = JobRunner(self)
        self._runner.progressed.connect(self._on_progress)
        self._runner.ended.connect(self._on_end)

    @property
    def busy(self) -> bool:
        """Whether something is being predicted."""
        return self._runner.busy

    def image(self, key: str) -> LoadedImage | None:
        """An image that was read already."""
        return self._images.get(key)

    def prediction(self, key: str) -> Prediction | None:
        """The prediction for an image, if it is still known."""
        return self._predictions.get(key)

    def keep(self, loaded: LoadedImage) -> None:
        """Keep the pixels of an image for a while."""
        images = self._images
        images[loaded.key] = loaded
        images.move_to_end(loaded.key)
        while len(images) > KEPT or (len(images) > 1 and sum(kept.bytes for kept in images.values()) > LARGEST_KEPT):
            key, _ = images.popitem(last=False)
            self._predictions.pop(key, None)

    def run(self, all_images: bool = False) -> None:
        """Have the image on screen predicted, then the next ones, or every one that has no uncertainty yet."""
        if self.choice is None:
            return
        keys = [key for key in (self.first, *self._list.upcoming(AHEAD)) if key is not None]
        if all_images:
            keys += [each.key for each in self._list.items() if each.uncertainty is None]
        items = [item for key in dict.fromkeys(keys) if (item := self._list.item(key)) is not None]
        items = [item for item in items if self._wants(item)]
        for item in reversed(items):
            if item.key in self._images:  # what is wanted is not the next to be dropped
                self._images.move_to_end(item.key)
        known = self._predictions.keys() | self._refused
        self._queue.clear()
        self._queue.extend((item, self._images.get(item.key)) for item in items if item.key not in known)
        self._start()

    def run_again(self) -> None:
        """Predict the image on screen and those to come once more."""
        self._use(self._panel.model_row.choice)
        self.run()

    def use_model(self) -> None:
        """Predict with the model that is chosen in the panel, if it is another one."""
        choice, before = self._panel.model_row.choice, self.choice
        if choice is not None and before is not None and choice.path == before.path:
            return
        self._use(choice)
        if choice is None:
            self._panel.say_problem(NO_MODEL)
        else:
            self._panel.threshold_row.set_value(choice.card.threshold)
        self.run()

    def refresh_models(self) -> None:
        """Offer the models that are there now; who predicts with the best so far goes on with what is the best now."""
        self._panel.model_row.set_models(models_for_segmenting())

    def forget(self) -> None:
        """Stop, and drop everything, as for another list."""
        self._use(self.choice)
        self._images.clear()

    def _use(self, choice: ModelChoice | None) -> None:
        """Predict with another model; predictions are forgotten, pixels are kept."""
        self.choice, self._is_broken = choice, False
        self._panel.set_model("" if choice is None else choice.name)
        self._predictions.clear()
        self._refused.clear()
        self._queue = deque()  # another one, for the worker that is told to stop may take one more
        self._runner.abandon()

    def _wants(self, item: Item) -> bool:
        is_readable = item.path is not None or item.key in self._images
        return is_readable and (item.key == self.first or item.state != "approved")

    def _start(self) -> None:
        if self.choice is not None and self._queue and not self.busy and not self._is_broken:
            self._runner.start(partial(predict_job, self._queue, self.choice, self._load, self._cache))

    def _on_progress(self, event: object) -> None:
        if isinstance(event, Progress):
            self._progress = event.sentence
            self._panel.say(event.sentence)
        elif isinstance(event, LoadedImage):
            self.keep(event)
        elif isinstance(event, Prediction):
            self._on_prediction(event)
        elif isinstance(event, tuple):
            key, sentence = event
            self._refused.add(key)
            if key == self.first:
                self._panel.say_problem(sentence)

    def _on_prediction(self, prediction: Prediction) -> None:
        if prediction.key in self._images:
            self._predictions[prediction.key] = prediction
        if self._progress and self._panel.status == self._progress:
            self._panel.say("")  # the model is there
        item = self._list.item(prediction.key)
        if item is None:
            return
        changes: dict[str, Any] = {"uncertainty": prediction.uncertainty, "score": prediction.score}
        if prediction.light is not None:
            changes["light"] = prediction.light.colour
        if item.state == "todo":
            changes["state"] = "predicted"
        self._list.note(item.key, **changes)
        self.predicted.emit(prediction)

    def _on_end(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._is_broken = True
            self._panel.say_problem(str(outcome.error))
        else:
            self._start()  # what came while the job was ending
