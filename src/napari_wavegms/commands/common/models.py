"""Find the model that a command names, and load it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wavegms.commands.common.console import note
from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.card import read_card
from napari_wavegms.model.registry import resolve
from napari_wavegms.storage.memory import set_memory_limit

if TYPE_CHECKING:
    from napari_wavegms.segment.segmenter import Segmenter


IN_USE = "in-use"
"""Names the version that the Fine-tune panel has put in use."""


def named_model(name: str) -> Path:
    """Find a model by a name of `wavegms models`, by ``in-use``, or by file; else raises `CheckpointError`."""
    if name != IN_USE:
        return resolve(name)
    from napari_wavegms.finetune.versions import ModelVersions

    versions = ModelVersions()
    current = versions.current()
    if current is None:
        raise CheckpointError("No fine-tuned version is in use yet. Fine-tune a model first, or name another model.")
    return versions.path(current.number)


def load_segmenter(options: argparse.Namespace) -> Segmenter:
    """Load what --model, --device and --codec name, and say where it computes and why."""
    segmenter = quietly_loaded(options)
    note(f"Model {segmenter.card.name} on {segmenter.device.reason}.")
    return segmenter


def quietly_loaded(options: argparse.Namespace) -> Segmenter:
    """Load what --model, --device and --codec name."""
    path = named_model(options.model)
    read_card(path)  # a wrong file is found before the seconds that torch takes
    from napari_wavegms.model.codec import load_codec
    from napari_wavegms.segment.segmenter import Segmenter

    weights = options.taesd if options.codec == "taesd" else None
    codec = load_codec(options.codec, weights, allow_download=options.allow_download)
    segmenter = Segmenter.from_checkpoint(path, options.device, codec)
    segmenter = segmenter.with_window(getattr(options, "window", None))
    return segmenter.with_detail(getattr(options, "detail", "whole"))


def loaded_in_worker(options: argparse.Namespace) -> Segmenter:
    """Load the same in a process of its own, which computes in one thread."""
    import torch

    torch.set_num_threads(1)
    set_memory_limit(options.max_memory)
    return quietly_loaded(options)


def for_elsewhere(options: argparse.Namespace) -> argparse.Namespace:
    """The same options for a process in another folder, in which "in-use" and the like may mean another model."""
    folder = None if options.taesd is None else str(Path(options.taesd).absolute())
    return argparse.Namespace(**vars(options) | {"model": str(named_model(options.model).absolute()), "taesd": folder})
