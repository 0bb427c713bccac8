"""A model as one ONNX file: the working frame in, the mask's probability and latents out, with the card in it."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_wavegms import __version__
from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.card import HEADER_KEY, ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint, load_keeper
from napari_wavegms.model.codec import load_codec
from napari_wavegms.samples import Phantom, skin_lesion_phantom, ultrasound_phantom
from napari_wavegms.segment.preprocessing import FloatArray, Preprocessing, prepare, restore
from napari_wavegms.storage.atomic import atomic_write

INPUT, OUTPUTS = "image", ("probability", "latents")
OPSET = 18  # the newest that the exporter writes unasked, and old enough for the programs of docs/export.md
ANSWERS_ALIKE = 1e-3
"""Largest difference from torch's probabilities; more than rounding means that the export went wrong."""


class Frames(nn.Module):
    """What the file computes: network and codec, from frames (B, 3, S, S) in [0, 1]."""

    def __init__(self, model: Path) -> None:
        super().__init__()
        self.network, self.card = load_checkpoint(model)
        self.codec = load_codec().eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Probability (B, K, S, S) in [0, 1] and mask latents (B, 4 K, S/8, S/8)."""
        latents = self.network(image).mask.out
        return self.codec.decode_masks(latents), latents


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """A written ONNX file, and how it answers a phantom.

    `frame` (1, 3, S, S) is the phantom in the working frame, `probability` and `latents` are torch's answers,
    `difference` the largest one between the two programs' probabilities, `mask` the phantom's own pixels that are
    foreground; `has_keeper` tells of a second network, which the file lacks.
    """

    path: Path
    card: ModelCard
    phantom: Phantom
    frame: FloatArray
    probability: FloatArray
    latents: FloatArray
    mask: NDArray[np.bool_]
    difference: float
    has_keeper: bool


def export_onnx(model: Path, output: Path) -> Exported:
    """Write a model file as ONNX, and compare both on a phantom before the file is in its place.

    Raises `CheckpointError` if the model does not fit, or the two differ by more than rounding.
    """
    frames = Frames(model).eval()
    card = frames.card
    with atomic_write(output) as file:
        _write(frames, card, file)
        phantom, frame, (probability, latents) = _example(frames, card)
        found = run_onnx(file, frame)[0]
        difference = float(np.abs(found - probability).max())
        if not difference < ANSWERS_ALIKE:
            raise CheckpointError(
                f"The ONNX file of {card.name} would differ from the model by {difference:.2g} in probability, so it "
                "was not written. Try other versions of torch, onnxscript and onnxruntime."
            )
    mask = np.any(restored(probability, phantom, card) >= card.threshold, axis=0)
    has_keeper = load_keeper(model) is not None
    return Exported(output, card, phantom, frame, probability, latents, mask, difference, has_keeper)


def run_onnx(file: str | os.PathLike[str], frames: FloatArray) -> list[FloatArray]:
    """Probabilities and latents of frames, computed by ONNX Runtime on the processor."""
    import onnxruntime

    session = onnxruntime.InferenceSession(os.fspath(file), providers=["CPUExecutionProvider"])
    return session.run(list(OUTPUTS), {INPUT: frames})  # type: ignore[no-any-return]


def restored(probability: FloatArray, phantom: Phantom, card: ModelCard) -> FloatArray:
    """Bring the first answer, (1, K, S, S), to the phantom's own pixels, (K, H, W)."""
    prepared = prepare(phantom.image, Preprocessing.from_dict(card.preprocessing))
    return np.stack([restore(one, prepared) for one in probability[0]])


def _example(frames: Frames, card: ModelCard) -> tuple[Phantom, FloatArray, tuple[FloatArray, FloatArray]]:
    """The phantom that the model segments better, its frame, and the answer."""
    tried = []
    for phantom in (ultrasound_phantom(shape=(256, 256)), skin_lesion_phantom(shape=(256, 256))):
        frame = prepare(phantom.image, Preprocessing.from_dict(card.preprocessing)).pixels[None]
        with torch.inference_mode():
            probability, latents = (tensor.numpy() for tensor in frames(torch.from_numpy(frame)))
        found, truth = np.any(restored(probability, phantom, card) >= card.threshold, axis=0), phantom.mask > 0
        overlap = 2 * int((found & truth).sum()) / max(1, int(found.sum()) + int(truth.sum()))
        tried.append((overlap, (phantom, frame, (probability, latents))))
    return max(tried, key=lambda one: one[0])[1]


def _write(frames: Frames, card: ModelCard, file: Path) -> None:
    from onnxscript import optimizer

    size = Preprocessing.from_dict(card.preprocessing).size
    with _quiet(), torch.no_grad():
        written: Any = torch.onnx.export(
            frames,
            (torch.zeros(2, 3, size, size),),  # two, because torch takes a batch of one for a constant
            dynamo=True,
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            optimize=False,  # its rules take longer than all the rest, and make the file hardly faster
            verbose=False,
        )
        graph = written.model
        optimizer.inline(graph)
        optimizer.fold_constants(graph)
        optimizer.remove_unused_nodes(graph)
    for node in graph.graph:
        node.metadata_props.clear()  # where in whose folders the source stands
        node.doc_string = None
    for value in (*graph.graph.inputs, *graph.graph.outputs):
        value.metadata_props.clear()
    graph.graph.metadata_props.clear()
    graph.producer_name, graph.producer_version = "napari-wavegms", __version__
    graph.doc_string = f"{card.title or card.name}. {card.disclaimer}"
    graph.metadata_props.clear()
    graph.metadata_props.update(notes(card))
    written.save(file)


def notes(card: ModelCard) -> dict[str, str]:
    """What the file says about itself: the card as JSON, and a sentence for the input and each output."""
    return {HEADER_KEY: json.dumps(card.as_dict())} | {name: notes_on(name) for name in (INPUT, *OUTPUTS)}


def notes_on(name: str) -> str:
    """A sentence for the input or an output, of at most 128 characters, as bioimage.io wants it."""
    return {
        INPUT: "(B, 3, S, S) float32, the working frame: red, green and blue in [0, 1]. The card tells how to make it.",
        "probability": "(B, K, S, S) in [0, 1], one map for each class but the background; foreground from the card's "
        "threshold.",
        "latents": "(B, 4 K, S/8, S/8), the latents that the probability is decoded from.",
    }[name]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of what it does not miss, and of what torch is to change in itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
