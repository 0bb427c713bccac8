"""Wave-GMS for napari: segment a medical image, correct the mask, and let the model learn from the correction.

Importing this package loads neither torch nor napari nor Qt: a public name imports its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_wavegms.corrections.store import CorrectionStore
    from napari_wavegms.errors import CheckpointError, InputError, TrainingError, WaveGMSError, WeightsNotFoundError
    from napari_wavegms.files.mask_writer import write_mask
    from napari_wavegms.files.reading import read_image, read_mask
    from napari_wavegms.finetune.from_corrections import fine_tune
    from napari_wavegms.learn.config import TrainConfig
    from napari_wavegms.learn.evaluate import evaluate
    from napari_wavegms.learn.pairs import Pair, load_pairs
    from napari_wavegms.learn.train import train
    from napari_wavegms.model.card import read_card
    from napari_wavegms.model.registry import list_models
    from napari_wavegms.segment.segmenter import Segmentation, Segmenter, segment_stack

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "CorrectionStore",
    "InputError",
    "Pair",
    "Segmentation",
    "Segmenter",
    "TrainConfig",
    "TrainingError",
    "WaveGMSError",
    "WeightsNotFoundError",
    "evaluate",
    "fine_tune",
    "list_models",
    "load_pairs",
    "read_card",
    "read_image",
    "read_mask",
    "segment_stack",
    "train",
    "write_mask",
]

_HOMES = {
    "CheckpointError": "errors",
    "CorrectionStore": "corrections.store",
    "InputError": "errors",
    "Pair": "learn.pairs",
    "Segmentation": "segment.segmenter",
    "Segmenter": "segment.segmenter",
    "TrainConfig": "learn.config",
    "TrainingError": "errors",
    "WaveGMSError": "errors",
    "WeightsNotFoundError": "errors",
    "evaluate": "learn.evaluate",
    "fine_tune": "finetune.from_corrections",
    "list_models": "model.registry",
    "load_pairs": "learn.pairs",
    "read_card": "model.card",
    "read_image": "files.reading",
    "read_mask": "files.reading",
    "segment_stack": "segment.segmenter",
    "train": "learn.train",
    "write_mask": "files.mask_writer",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value  # the next look-up does not come here again
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
