"""One press on Fine-tune: what has come back so far, and how the panel shows it."""

from __future__ import annotations

from time import monotonic

from napari_wavegms.finetune.events import Scored, Stage
from napari_wavegms.finetune.from_corrections import SplitMade
from napari_wavegms.finetune.presets import Preset
from napari_wavegms.learn.events import MemoryShort, TrainEpoch, TrainStarted, TrainStep
from napari_wavegms.segment.segmenter_cache import Progress
from napari_wavegms.widgets.finetune.panel import FineTunePanel
from napari_wavegms.widgets.finetune.plot import Curves
from napari_wavegms.wording import rough_duration

_PARTS = 1000  # of the progress bar
_PAUSE = 0.1  # seconds between two drawings of the plot


class FineTuneRun:
    """The window's side of a run; the worker's side is `iter_from_corrections`.

    Parameters
    ----------
    panel : FineTunePanel
    preset : Preset
    device : str
        The chosen one.
    """

    def __init__(self, panel: FineTunePanel, preset: Preset, device: str) -> None:
        self._panel, self._preset, self._device = panel, preset, device
        self._started: TrainStarted | None = None
        self._since = self._drawn = monotonic()
        self._before: list[float] = []
        self._loss: list[tuple[float, float]] = []
        self._dsc: list[tuple[float, float]] = []
        self._stopping = False
        self._note = ""
        panel.set_status("")
        panel.set_outcome("", False)
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
                self._dsc.append((float(event.epoch + 1), event.dsc))
            self.draw()
        elif isinstance(event, Progress | Stage):
            row.set_words(event.sentence)
            if isinstance(event, Stage) and event.device_reason:
                self._panel.device_row.tell(self._device, event.device_reason)
            if isinstance(event, Stage) and event.name == "after" and self._stopping:
                row.offer("Skip scoring", "Keep the new model, unscored and not in use.")
        elif isinstance(event, SplitMade):
            self._panel.set_status(event.sentence)
        elif isinstance(event, Scored):
            self._on_scored(event)
        elif isinstance(event, TrainStarted):
            self._started, self._since = event, monotonic()
        elif isinstance(event, MemoryShort):
            self._note = f" {event.sentence}"

    def _on_step(self, step: TrainStep) -> None:
        done = step.epoch + (step.step + 1) / step.steps_per_epoch
        self._loss.append((done, step.loss))
        epochs = self._started.epochs if self._started is not None else step.epoch + 1
        limit = self._preset.config.max_seconds
        spent = monotonic() - self._since
        share = max(done / epochs, spent / limit if limit else 0.0)
        if not self._stopping:
            left = spent / share - spent
            if limit:
                left = min(left, max(0.0, limit - spent))
            words = f"Training, epoch {step.epoch + 1}, about {rough_duration(left)} left.{self._note}"
            self._panel.learn_row.set_progress(round(_PARTS * min(share, 1.0)), _PARTS, words)
        if monotonic() - self._drawn > _PAUSE:
            self.draw()

    def _on_scored(self, event: Scored) -> None:
        image, model = event.image, "model in use" if event.stage == "before" else "new model"
        words = f"Test image {image.number} of {image.total}, {model}: Dice {image.dsc:.2f} on {image.name}."
        self._panel.learn_row.set_progress(image.number, image.total, words)
        if event.stage == "before":
            self._before.append(image.dsc)

    def draw(self) -> None:
        """Draw the curves so far."""
        self._drawn = monotonic()
        watched = self._before[: self._started.validation] if self._started is not None else self._before
        before = sum(watched) / len(watched) if watched else None
        self._panel.plot.set_curves(Curves(tuple(self._loss), tuple(self._dsc), before, len(watched)))
