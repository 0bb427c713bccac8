"""One press on Fine-tune: what has come back so far, and how the panel shows it."""

from __future__ import annotations

from time import monotonic

from napari_wavegms.finetune.events import RefitStep, Scored, SplitMade, Stage
from napari_wavegms.learn.events import MemoryShort, TrainEpoch, TrainStarted, TrainStep
from napari_wavegms.segment.segmenter_cache import Progress
from napari_wavegms.widgets.finetune.panel import FineTunePanel
from napari_wavegms.widgets.finetune.plot import Curves
from napari_wavegms.wording import TimeLeft

_PAUSE = 0.1  # seconds between two drawings of the plot


class FineTuneRun:
    """The window's side of a run on the chosen device; the worker's side is `iter_from_corrections`."""

    def __init__(self, panel: FineTunePanel, device: str) -> None:
        self._panel, self._device = panel, device
        self._left, self._drawn = TimeLeft(), monotonic()
        self._steps = self._watched = self._done = 0
        self._before: list[float] = []
        self._loss: list[tuple[float, float]] = []
        self._dsc: list[tuple[float, float]] = []
        self._stopping = False
        self._note = self._stage = ""
        panel.say("")
        panel.verdict.set_outcome(False)
        panel.plot.set_curves(Curves())
        panel.plot.setVisible(True)
        panel.learn_row.set_busy("Collecting the training images…")

    def stopping(self) -> None:
        """Show that a stop is under way."""
        self._stopping = True
        self._panel.learn_row.set_stopping("Stopping…")
        self._panel.learn_row.set_words("Stopping after this step; the best so far is kept.")

    def take(self, event: object) -> None:
        """Receive what the worker yields."""
        row = self._panel.learn_row
        if isinstance(event, TrainStep):
            self._on_step(event)
        elif isinstance(event, TrainEpoch):
            if event.dsc is not None:
                self._dsc.append((self._done, event.dsc))
            self.draw()
        elif isinstance(event, Progress | Stage):
            self._stage = event.sentence
            row.set_words(event.sentence)
            if isinstance(event, Stage) and event.device_reason:
                self._panel.device_row.tell(self._device, event.device_reason)
            if isinstance(event, Stage) and event.name == "after" and self._stopping:
                row.offer("Skip scoring", "Keep the new model, unscored and not in use.")
        elif isinstance(event, SplitMade):
            self._panel.say(event.sentence)
        elif isinstance(event, RefitStep):
            row.set_progress(event.done, event.total, self._stage)
        elif isinstance(event, Scored):
            self._on_scored(event)
        elif isinstance(event, TrainStarted):
            self._steps, self._watched = event.steps, event.validation
        elif isinstance(event, MemoryShort):
            self._note = f" {event.sentence}"

    def _on_step(self, step: TrainStep) -> None:
        self._done += 1
        self._loss.append((self._done, step.loss))
        if not self._stopping:
            words = [f"Training, step {self._done} of {self._steps}", self._left.text(self._done, self._steps)]
            sentence = f"{', '.join(filter(None, words))}.{self._note}"
            self._panel.learn_row.set_progress(self._done, self._steps, sentence)
        if monotonic() - self._drawn > _PAUSE:
            self.draw()

    def _on_scored(self, event: Scored) -> None:
        image, model = event.image, "model in use" if event.stage == "before" else "new model"
        words = f"Test image {image.number} of {image.total}, {model}: DSC {image.dsc:.2f} on {image.name}."
        self._panel.learn_row.set_progress(image.number, image.total, words)
        if event.stage == "before":
            self._before.append(image.dsc)

    def draw(self) -> None:
        """Draw the curves so far."""
        self._drawn = monotonic()
        watched = self._before[: self._watched]
        before = sum(watched) / len(watched) if watched else None
        self._panel.plot.set_curves(Curves(tuple(self._loss), tuple(self._dsc), before, len(watched)))
