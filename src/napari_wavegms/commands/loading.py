"""Load a model for a command, with the cheap checks before the slow imports."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_wavegms.commands.console import tell
from napari_wavegms.commands.named import named_model
from napari_wavegms.model.card import read_card

if TYPE_CHECKING:
    from napari_wavegms.model.codec import TinyVAE
    from napari_wavegms.segment.segmenter import Segmenter


def load_segmenter(options: argparse.Namespace) -> Segmenter:
    """Load what --model, --device and --codec name, and say where it will compute and why.

    Raises
    ------
    CheckpointError, WeightsNotFound, InputError
        If the model, the codec's weights or the device are not to be had.
    """
    path = named_model(options.model)
    read_card(path)  # a wrong file is found before the seconds that torch takes
    from napari_wavegms.model.codec import load_codec
    from napari_wavegms.segment.segmenter import Segmenter

    weights = options.taesd if options.codec == "taesd" else None
    codec: TinyVAE = load_codec(options.codec, weights, allow_download=options.allow_download)
    segmenter = Segmenter.from_checkpoint(path, options.device, codec)
    tell(f"Model {segmenter.card.name} on {segmenter.device.reason}.")
    return segmenter
