"""Predict the next images before they are opened."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import WaveGMSError
from napari_wavegms.model.registry import NO_MODEL
from napari_wavegms.segment.planes import SliceDone, segment_planes
from napari_wavegms.segment.segmenter_cache import (
    SEGMENTER_CACHE,
    LoadSegmenter,
    Progress,
    SegmenterCache,
    load_segmenter,
)
from napari_wavegms.widgets.forms.model_list import models_for_segmenting
from napari_wavegms.widgets.forms.model_row import ModelChoice
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.mask_history import PlaneKey, plane_key
from napari_wavegms.widgets.review.context import ReviewContext
from napari_wavegms.widgets.review.image import LoadedImage, Prediction, load_image
from napari_wavegms.worklist.item import Item

if TYPE_CHECKING:
    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.segment.ood import OODLevel

AHEAD = 3
"""So many of the next images are predicted before they are asked for."""

KEPT = 8
"""Images whose pixels and prediction are kept at most."""

LARGEST_KEPT = 512 << 20
"""Bytes that they take together at most; the one on screen is kept whatever it takes."""


Queue = deque[tuple[Item, LoadedImage | None]]
"""What is still to be predicted; the window fills it, the worker empties it."""


def predict_job(
    queue: Queue,
    choice: ModelChoice,
    load: LoadSegmenter = load_segmenter,
    cache: SegmenterCache = SEGMENTER_CACHE,
) -> Generator[Progress | LoadedImage | Prediction | SliceDone[Any] | tuple[str, str], None, None]:
    """Predict everything in a queue; for an image that is refused, yields its key and why."""
    if "torch" not in sys.modules:
        yield Progress("Loading PyTorch (once)…")
    from napari_wavegms.model.device import reserve_ui_core

    reserve_ui_core()
    if not cache.holds(choice.path, "auto"):
        yield Progress("Loading the model…")
    segmenter = cache.get(choice.path, "auto", load)
    level_of = _level_of(choice.card)
    while (first := _pop(queue)) is not None:
        item, loaded = first
        try:
            loaded = loaded or load_image(item)
            yield loaded
            found: dict[PlaneKey, Any] = {}
            for done in segment_planes(segmenter, loaded.pixels, loaded.plan):
                found[plane_key(done.index)] = done.segmentation
                if done.total > 1:
                    yield done
        except WaveGMSError as error:
            yield item.key, str(error)
        else:
            yield _prediction(loaded, choice, found, level_of)


def _pop(queue: Queue) -> tuple[Item, LoadedImage | None] | None:
    try:
        return queue.popleft()
    except IndexError:  # the window may have emptied it at this moment
        return None


def _prediction(
    loaded: LoadedImage,
    choice: ModelChoice,
    found: Mapping[PlaneKey, Any],
    level_of: Callable[[Any], OODLevel],
) -> Prediction:
    from napari_wavegms.segment.uncertainty import image_uncertainty

    threshold = choice.card.threshold
    planes = {key: np.asarray(segmentation.probability) for key, segmentation in found.items()}
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
        light=level_of(loaded.pixels[loaded.plan.indices[loaded.plan.total // 2]]),
    )


def _level_of(card: ModelCard) -> Callable[[Any], OODLevel]:
    """What tells how far a plane is from a model's training images."""
    from napari_wavegms.segment.ood import UNKNOWN, ImageKinds, describe

    known = ImageKinds.from_dict(card.familiarity)
    return lambda plane: UNKNOWN if known is None else known.level(known.distance(describe(plane)))


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

    def __init__(
        self,
        context: ReviewContext,
        load: LoadSegmenter = load_segmenter,
        cache: SegmenterCache = SEGMENTER_CACHE,
    ) -> None:
        super().__init__(context.panel)
        self.choice: ModelChoice | None = None
        self.first: str | None = None
        self._context, self._load, self._cache = context, load, cache
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

    def run(self, every: bool = False) -> None:
        """Have the image on screen predicted, then the next ones, or every one that has no uncertainty yet."""
        if self.choice is None:
            return
        keys = [key for key in (self.first, *self._context.images.upcoming(AHEAD)) if key is not None]
        if every:
            keys += [each.key for each in self._context.images.items() if each.uncertainty is None]
        items = [item for key in dict.fromkeys(keys) if (item := self._context.item(key)) is not None]
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
        self._use(self._context.panel.model_row.choice)
        self.run()

    def use_model(self) -> None:
        """Predict with the model that is chosen in the panel, if it is another one."""
        panel, before = self._context.panel, self.choice
        choice = panel.model_row.choice
        if choice is not None and before is not None and choice.path == before.path:
            return
        self._use(choice)
        if choice is None:
            self._context.say_problem(NO_MODEL)
        else:
            panel.threshold_row.set_value(choice.card.threshold)
        self.run()

    def refresh_models(self) -> None:
        """Offer the models that are there now."""
        self._context.panel.model_row.set_models(models_for_segmenting())

    def follow_best(self) -> None:
        """Take the version that is the best now, if the best so far is what is chosen."""
        combo = self._context.panel.model_row.combo
        followed = combo.currentIndex() == 0
        self.refresh_models()
        if followed and combo.count():
            combo.setCurrentIndex(0)
            self.use_model()

    def forget(self) -> None:
        """Stop, and drop everything, as for another list."""
        self._use(self.choice)
        self._images.clear()

    def _use(self, choice: ModelChoice | None) -> None:
        """Predict with another model; predictions are forgotten, pixels are kept."""
        self.choice, self._is_broken = choice, False
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
            self._context.say(event.sentence)
        elif isinstance(event, LoadedImage):
            self.keep(event)
        elif isinstance(event, Prediction):
            self._on_prediction(event)
        elif isinstance(event, tuple):
            key, sentence = event
            self._refused.add(key)
            if key == self.first:
                self._context.say_problem(sentence)

    def _on_prediction(self, prediction: Prediction) -> None:
        if prediction.key in self._images:
            self._predictions[prediction.key] = prediction
        if self._progress and self._context.panel.status == self._progress:
            self._context.say("")  # the model is there
        item = self._context.item(prediction.key)
        if item is None:
            return
        changes: dict[str, Any] = {"uncertainty": prediction.uncertainty, "score": prediction.score}
        if prediction.light is not None:
            changes["light"] = prediction.light.colour
        if item.state == "todo":
            changes["state"] = "predicted"
        self._context.note(item.key, **changes)
        self.predicted.emit(prediction)

    def _on_end(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._is_broken = True
            self._context.say_problem(str(outcome.error))
        else:
            self._start()  # what came while the job was ending
