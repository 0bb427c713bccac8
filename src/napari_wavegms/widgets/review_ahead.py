"""Which model looks at which images: the one on screen first, then the next ones, before anybody asks."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_wavegms.review.items import Item
from napari_wavegms.widgets.finetune_models import models_for_segmenting
from napari_wavegms.widgets.review_desk import ReviewDesk
from napari_wavegms.widgets.review_picture import Look
from napari_wavegms.widgets.review_progress import note_look
from napari_wavegms.widgets.review_stage import ReviewStage

AHEAD = 3
"""So many of the next images are predicted before they are asked for."""
NO_MODEL = "No model is installed here. Open a model file with the … button."


class ReviewAhead(QObject):
    """Has images predicted by the model that is chosen.

    Parameters
    ----------
    desk : ReviewDesk
    stage : ReviewStage
    """

    def __init__(self, desk: ReviewDesk, stage: ReviewStage) -> None:
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

    def _on_look(self, look: Look) -> None:
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
