"""How similar an image is to a model's training images, in a line; told by its sign, too, and not by colour alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QSizePolicy

if TYPE_CHECKING:
    from napari_wavegms.segment.ood import OODLevel

# The colours are those of the worklist.
_LIGHTS = {
    "green": ("●", "#2fbf91", "Similar to the training images"),
    "amber": ("▲", "#e69f00", "Somewhat different from the training images"),
    "red": ("■", "#d55e00", "Very different from the training images"),
    "": ("○", "#9aa0a6", "Similarity to the training images is not known"),
}


class FamiliarityLabel(QLabel):
    """A coloured sign with a few words, and the whole sentence on hover; hidden while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.tell(None)

    def tell(self, light: OODLevel | None) -> None:
        """Show a level, or nothing."""
        self.setVisible(light is not None)
        if light is not None:
            sign, ink, words = _LIGHTS[light.colour]
            self.setText(f'<span style="color:{ink}">{sign}</span> {words}')
            self.setToolTip(light.sentence)
            self.setAccessibleDescription(light.sentence)
