"""Predict the next images before they are opened."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_wavegms.errors import WaveGMSError
from napari_wavegms.segment.planes import SliceDone, segment_planes
from napari_wavegms.segment.segmenter_cache import (
    SEGMENTER_CACHE,
    LoadSegmenter,
    Progress,
    SegmenterCache,
    SegmenterLike,
    load_segmenter,
)
from napari_wavegms.widgets.forms.model_list import models_for_segmenting
from napari_wavegms.widgets.forms.model_row import ModelChoice
from napari_wavegms.widgets.jobs import JobRunner, Outcome
from napari_wavegms.widgets.layers.mask_history import PlaneKey, plane_key
from napari_wavegms.widgets.review.context import ReviewContext, note_look
from napari_wavegms.widgets.review.current_image import CurrentImage
from napari_wavegms.widgets.review.image import Prediction, ReviewImage, read_picture
from napari_wavegms.worklist.item import Item

if TYPE_CHECKING:
    from napari_wavegms.segment.ood import OODDetector, OODLevel


KEPT = 8
"""Images whose pixels and prediction are kept at most."""

LARGEST_KEPT = 512 << 20
"""Bytes that they take together at most; the one on screen is kept whatever it takes."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An image that cannot be read or segmented, and why."""

    key: str
    sentence: str


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """An image to look at; `pixels` with `rgb` and `axes` where it is open already, read from its file otherwise."""

    item: Item
    picture: ReviewImage | None = None


class Line:
    """What is still to be looked at, in order; asked by the worker, set by the window."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._wanted: list[Wanted] = []

    def __len__(self) -> int:
        with self._lock:
            return len(self._wanted)

    def set(self, wanted: Sequence[Wanted]) -> None:
        """Put others in line."""
        with self._lock:
            self._wanted = list(wanted)

    def pop(self) -> Wanted | None:
        """Take the first one; None where nobody waits."""
        with self._lock:
            return self._wanted.pop(0) if self._wanted else None


def predict_job(
    line: Line,
    choice: ModelChoice,
    device: str,
    load: LoadSegmenter = load_segmenter,
    shelf: SegmenterCache = SEGMENTER_CACHE,
) -> Generator[Progress | ReviewImage | Prediction | Refused | SliceDone[Any], None, None]:
    """Look at everything in a line.

    Yields
    ------
    Progress, ReviewImage, Prediction, Refused, SliceDone

    Raises
    ------
    WaveGMSError
        If the model cannot be loaded.
    """
    if "torch" not in sys.modules:
        yield Progress("Loading PyTorch (once)…")
    from napari_wavegms.model.device import reserve_ui_core

    reserve_ui_core()
    if not shelf.holds(choice.path, device):
        yield Progress("Loading the model…")
    segmenter = shelf.get(choice.path, device, load)
    known = _Known(segmenter)
    while (wanted := line.pop()) is not None:
        try:
            picture = wanted.picture or read_picture(wanted.item)
            yield picture
            found: dict[PlaneKey, Any] = {}
            for done in segment_planes(segmenter, picture.pixels, picture.plan):
                found[plane_key(done.index)] = done.segmentation
                if done.total > 1:
                    yield done
        except WaveGMSError as error:
            yield Refused(wanted.item.key, str(error))
            continue
        yield _look(picture, choice, found, known)


def _look(picture: ReviewImage, choice: ModelChoice, found: Mapping[PlaneKey, Any], known: _Known) -> Prediction:
    from napari_wavegms.segment.uncertainty import image_uncertainty

    threshold = choice.card.threshold
    planes = {key: np.asarray(segmentation.probability) for key, segmentation in found.items()}
    stack = np.stack([*planes.values()])
    inside = stack >= threshold
    middle = [*found.values()][len(found) // 2]
    return Prediction(
        key=picture.key,
        content=picture.content,
        model=choice.name,
        threshold=threshold,
        planes=planes,
        uncertainty=image_uncertainty(stack, threshold),
        score=float(stack[inside].mean()) if inside.any() else None,
        light=known.light(middle),
    )


class _Known:
    """What a segmenter knows of the images that it has learned from; worked out once."""

    def __init__(self, segmenter: SegmenterLike) -> None:
        self._familiarity: OODDetector | None = None
        self._without: OODLevel | None = None
        card, network = getattr(segmenter, "card", None), getattr(segmenter, "model", None)
        if card is not None and network is not None:
            from napari_wavegms.segment.ood import OODDetector, no_ood_level

            self._familiarity = OODDetector.of(card, network)
            self._without = no_ood_level(card) if self._familiarity is None else None

    def light(self, segmentation: Any) -> OODLevel | None:
        latents = getattr(segmentation, "latents", None)
        if self._familiarity is None or latents is None:
            return self._without
        return self._familiarity.light(self._familiarity.distance(latents))


class Predictions(QObject):
    """Keeps the latest looks of one model, and has others made.

    Signals
    -------
    arrived(Look)
        An image was looked at.
    refused(str, str)
        The key of an image that could not be looked at, and why.
    said(str, str)
        A sentence for the status line, and ``"problem"`` where it is one.
    idle()
        Nothing is left to look at.
    """

    arrived = Signal(object)
    refused = Signal(str, str)
    said = Signal(str, str)
    idle = Signal()

    def __init__(
        self,
        load: LoadSegmenter = load_segmenter,
        shelf: SegmenterCache = SEGMENTER_CACHE,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._load, self._shelf = load, shelf
        self._choice: ModelChoice | None = None
        self._device = "auto"
        self._line = Line()
        self._pictures: OrderedDict[str, ReviewImage] = OrderedDict()
        self._looks: dict[str, Prediction] = {}
        self._refusals: dict[str, str] = {}
        self._is_broken = False  # the model itself could not be loaded
        self._runner = JobRunner(self)
        self._runner.progressed.connect(self._on_progress)
        self._runner.ended.connect(self._on_end)

    @property
    def busy(self) -> bool:
        """Whether something is being looked at."""
        return self._runner.busy

    @property
    def choice(self) -> ModelChoice | None:
        """The model that looks."""
        return self._choice

    def use(self, choice: ModelChoice | None, device: str = "auto") -> None:
        """Let another model look; what the one before said is forgotten, pixels are kept."""
        self._choice, self._device, self._is_broken = choice, device, False
        self._looks.clear()
        self._refusals.clear()
        self._line.set(())
        self._runner.abandon()

    def forget(self) -> None:
        """Drop everything, as for another list."""
        self.use(self._choice, self._device)
        self._pictures.clear()

    def picture(self, key: str) -> ReviewImage | None:
        """Give an image that was read already."""
        return self._pictures.get(key)

    def look(self, key: str) -> Prediction | None:
        """Give what the model said of an image, if it is still known."""
        return self._looks.get(key)

    def keep(self, picture: ReviewImage) -> None:
        """Keep the pixels of an image for a while."""
        self._pictures[picture.key] = picture
        self._pictures.move_to_end(picture.key)
        while len(self._pictures) > KEPT or (
            len(self._pictures) > 1 and sum(kept.bytes for kept in self._pictures.values()) > LARGEST_KEPT
        ):
            key, _ = self._pictures.popitem(last=False)
            self._looks.pop(key, None)

    def want(self, items: Sequence[Item]) -> None:
        """Have images looked at, the first one first, instead of those that were wanted before."""
        for item in reversed(items):
            if item.key in self._pictures:  # what is wanted is not the next to be dropped
                self._pictures.move_to_end(item.key)
        missing = [item for item in items if item.key not in self._looks and item.key not in self._refusals]
        self._line.set([Wanted(item, self._pictures.get(item.key)) for item in missing])
        self._start()

    def close(self) -> None:
        """Stop, and drop everything."""
        self.forget()

    def _start(self) -> None:
        if self._choice is not None and len(self._line) and not self._runner.busy and not self._is_broken:
            job = partial(predict_job, self._line, self._choice, self._device, self._load, self._shelf)
            self._runner.start(cast("Any", job))

    def _on_progress(self, event: object) -> None:
        if isinstance(event, Progress):
            self.said.emit(event.sentence, "")
        elif isinstance(event, ReviewImage):
            self.keep(event)
        elif isinstance(event, Prediction):
            if event.key in self._pictures:
                self._looks[event.key] = event
            self.arrived.emit(event)
        elif isinstance(event, Refused):
            self._refusals[event.key] = event.sentence
            self.refused.emit(event.key, event.sentence)

    def _on_end(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._is_broken = True
            self.said.emit(str(outcome.error), "problem")
        elif len(self._line):  # came while the job was ending
            self._start()
        else:
            self.idle.emit()


AHEAD = 3
"""So many of the next images are predicted before they are asked for."""

NO_MODEL = "No model is installed here. Open a model file with the … button."


class Prefetch(QObject):
    """Has images predicted by the model that is chosen.

    Parameters
    ----------
    desk : ReviewContext
    stage : CurrentImage
    """

    def __init__(self, desk: ReviewContext, stage: CurrentImage) -> None:
        super().__init__(desk)
        self._desk, self._stage = desk, stage
        self._loading = ""  # what was said last about a model that is being loaded
        desk.predictions.arrived.connect(self._on_look)
        desk.predictions.refused.connect(self._on_refused)
        desk.predictions.said.connect(self._on_loading)

    def look(self, every: bool = False) -> None:
        """Have the image on screen predicted, and then the next ones, or every one that has no uncertainty yet."""
        desk, shown = self._desk, self._stage.shown
        worklist = desk.panel.list.worklist
        if worklist is None or desk.predictions.choice is None:
            return
        now = self._stage.wanted or (None if shown is None else shown.key)
        keys = [key for key in (now, *desk.panel.list.upcoming(AHEAD)) if key is not None]
        if every:
            keys += [item.key for item in worklist.items() if item.uncertainty is None and item.key not in keys]
        items = [item for key in keys if (item := desk.item(key)) is not None and self._can_read(item)]
        desk.predictions.want([item for item in items if item.key == now or item.state != "approved"])

    def again(self) -> None:
        """Let the model look again at the image on screen and those to come."""
        self._desk.predictions.use(self._desk.panel.model_row.choice)
        self.look()

    def use_model(self) -> None:
        """Let the model look that is chosen in the panel, if it is another one."""
        desk = self._desk
        choice, before = desk.panel.model_row.choice, desk.predictions.choice
        if choice is not None and before is not None and choice.path == before.path:
            return
        desk.predictions.use(choice)
        if choice is None:
            desk.say_problem(NO_MODEL)
        else:
            desk.panel.threshold_row.set_value(choice.card.threshold)
        self.look()

    def refresh_models(self) -> None:
        """Offer the models that are there now."""
        self._desk.panel.model_row.set_models(models_for_segmenting())

    def follow_the_best(self) -> None:
        """Take the version that is the best now, if the best so far is what is chosen."""
        row = self._desk.panel.model_row
        followed = row.combo.currentIndex() == 0
        self.refresh_models()
        if followed and row.combo.count():
            row.combo.setCurrentIndex(0)
            self.use_model()

    def _can_read(self, item: Item) -> bool:
        return item.path is not None or self._desk.predictions.picture(item.key) is not None

    def _on_look(self, look: Prediction) -> None:
        if self._loading and self._desk.panel.status == self._loading:
            self._desk.say("")  # the model is there
        if note_look(self._desk, look):
            self._stage.write(look)

    def _on_refused(self, key: str, sentence: str) -> None:
        shown = self._stage.shown
        if (shown is not None and shown.key == key) or self._stage.wanted == key:
            self._desk.say_problem(sentence)

    def _on_loading(self, sentence: str, kind: str) -> None:
        self._loading = sentence if kind != "problem" else ""
        self._desk.say(sentence, kind)
