"""Wave-GMS for napari: segment a medical image, correct the mask, and let the model learn from the correction.

Importing this package loads neither torch nor napari nor Qt: a public name fetches its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_wavegms.errors import CheckpointError, InputError, TrainingError, WaveGMSError, WeightsNotFoundError
    from napari_wavegms.finetune.from_corrections import fine_tune
    from napari_wavegms.learn.config import TrainConfig
    from napari_wavegms.learn.evaluate import evaluate
    from napari_wavegms.learn.pairs import Pair, load_pairs
    from napari_wavegms.learn.train import train
    from napari_wavegms.segment.segmenter import Segmentation, Segmenter

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
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
    "load_pairs",
    "train",
]

_HOMES = {
    "CheckpointError": "errors",
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
    "load_pairs": "learn.pairs",
    "train": "learn.train",
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
