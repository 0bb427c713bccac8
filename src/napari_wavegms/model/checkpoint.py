"""Models on disk: one `.safetensors` file with its card in the header, replaced atomically, loaded strictly."""

from __future__ import annotations

import json
import os
import re
import reprlib
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.card import HEADER_KEY, MOST_CLASSES, ModelCard, read_card
from napari_wavegms.model.network import LATENT_CHANNELS, WaveGMS
from napari_wavegms.storage.atomic import atomic_write

# Prefixes of tensors that are not the network's own: an unfinished run's (optimiser, averages), and its keeper's.
_TRAINING, _KEEPER = "training.", "keeper."


def save_checkpoint(
    path: str | os.PathLike[str],
    model: WaveGMS,
    card: ModelCard,
    *,
    half: bool = False,
    training: Mapping[str, Tensor] | None = None,
    keeper: WaveGMS | None = None,
) -> Path:
    """Write a model file, replacing an existing one in one step.

    The count of parameters, the context trunk and, if empty, the date are filled in the card. `half` stores float16,
    about 5 MB, instead of float32; `training` is the state of a run that may be resumed; `keeper` the network that
    answers the kinds of image that `model` did not learn last, see `load_keeper`.
    """
    tensors = {name: tensor.half() if half else tensor for name, tensor in model.state_dict().items()}
    learned = dict(tensors)
    tensors |= {_TRAINING + name: tensor for name, tensor in (training or {}).items()}
    if keeper is not None:
        assert keeper.state_dict().keys() == learned.keys(), "or one would be completed by the other"
        weights = {name: t.half() if half else _shortest(t) for name, t in keeper.state_dict().items()}
        tensors |= {
            _KEEPER + name: t for name, t in weights.items() if not torch.equal(t.float(), learned[name].float())
        }
    # Copies on the CPU: safetensors refuses tensors that share memory or lie in another layout.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    count = sum(parameter.numel() for parameter in model.parameters())
    trunk = "" if model.trunk is None else model.trunk.fingerprint
    card = replace(card, parameters=count, context=trunk, created=card.created or date.today().isoformat())
    _write(path, plain, card)
    return Path(path)


def _shortest(tensor: Tensor) -> Tensor:
    """The same values as float16 where those have room for them, as in shipped models."""
    return half if torch.equal((half := tensor.half()).float(), tensor) else tensor


def rewrite_card(path: str | os.PathLike[str], card: ModelCard) -> None:
    """Replace the card of a model file; its tensors stay the same. Raises `CheckpointError`, see `read_card`."""
    _write(path, _tensors_of(path, read_card(path)), card)


def _write(path: str | os.PathLike[str], tensors: dict[str, Tensor], card: ModelCard) -> None:
    """Replace the file; raises `OSError` where the disk fails, which safetensors says in words only."""
    card = replace(card, checksum=_checksum(tensors))
    try:
        with atomic_write(path) as file:
            mode = file.stat().st_mode
            save_file(tensors, file, metadata={HEADER_KEY: json.dumps(card.as_dict())})
            file.chmod(mode)  # safetensors puts a file of its own there, which nobody else may read
    except SafetensorError as error:
        told = re.search(r"([^:]*) \(os error (\d+)\)", str(error))
        if told is None:
            raise
        number = int(told[2])  # Windows has numbers of its own, which the last argument is for
        raise OSError(number, told[1].strip(), os.fspath(path), number) from error


def load_checkpoint(path: str | os.PathLike[str], device: str = "cpu") -> tuple[WaveGMS, ModelCard]:
    """Read a model file into a network in evaluation mode, float32. Raises `CheckpointError`, see `read_card`."""
    model, card, _ = load_training(path)
    return model.to(device).eval(), card


def load_training(path: str | os.PathLike[str]) -> tuple[WaveGMS, ModelCard, dict[str, Tensor]]:
    """Read a model file with the state of its unfinished run, which is empty in a finished model."""
    card = read_card(path)
    tensors = _tensors_of(path, card)
    weights = {name: t.float() for name, t in tensors.items() if not name.startswith((_TRAINING, _KEEPER))}
    training = {name.removeprefix(_TRAINING): t for name, t in tensors.items() if name.startswith(_TRAINING)}
    model = network_of(weights, Path(path).name)
    shipped = "" if model.trunk is None else model.trunk.fingerprint
    if card.context != shipped:
        raise CheckpointError(
            f"{Path(path).name} was trained with the context trunk '{card.context}', and this version has '{shipped}'. "
            "Install the version that it was made with, or choose another model."
        )
    if len(card.class_names) != model.classes + 1:
        raise CheckpointError(
            f"The model card of {Path(path).name} is damaged (it names {len(card.class_names) - 1} classes, and "
            f"the network draws {model.classes}). Get a fresh copy."
        )
    return model, card, training


def load_keeper(path: str | os.PathLike[str]) -> WaveGMS | None:
    """The second network of a model file, in evaluation mode; None where the file has none.

    It answers images of the kinds that the first one did not learn last (`segment.ood.ImageKinds.is_kept`).
    """
    tensors = _tensors_of(path, read_card(path))
    weights = {name.removeprefix(_KEEPER): t.float() for name, t in tensors.items() if name.startswith(_KEEPER)}
    if not weights:
        return None
    own = {name: t.float() for name, t in tensors.items() if not name.startswith((_TRAINING, _KEEPER))}
    return network_of(own | weights, Path(path).name).eval()


def _tensors_of(path: str | os.PathLike[str], card: ModelCard) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{Path(path).name} is damaged ({error}). Copy or download it again.") from error
    if card.checksum and card.checksum != _checksum(tensors):
        raise CheckpointError(
            f"{Path(path).name} is damaged (its weights are not those that were saved). Copy or download it again."
        )
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    value = 0
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(name.encode(errors="surrogatepass"), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def classes_of(weights: Mapping[str, Tensor]) -> int:
    """How many classes weights are for; 1 where they are not a network's, which loading them tells."""
    head = weights.get("mapper.heads.out.2.weight")
    if head is None or head.ndim != 4:
        return 1
    return min(max(1, head.shape[0] // LATENT_CHANNELS), MOST_CLASSES)


def network_of(weights: Mapping[str, Tensor], source: str) -> WaveGMS:
    """A network with exactly these weights."""
    context, own_trunk = (any(name.startswith(part) for name in weights) for part in ("mapper.context.", "trunk."))
    model = WaveGMS(context, own_trunk, classes_of(weights))
    expected = model.state_dict()
    complaints = [
        *(f"lacks {name}" for name in expected if name not in weights),
        *(f"has the unknown {reprlib.repr(name)}" for name in weights if name not in expected),
        *(
            f"has {name} of shape {tuple(weights[name].shape)} where {tuple(tensor.shape)} fits"
            for name, tensor in expected.items()
            if name in weights and weights[name].shape != tensor.shape
        ),
    ]
    if complaints:
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        raise CheckpointError(f"{source} is not a Wave-GMS network: it {complaints[0]}{more}. Choose another file.")
    model.load_state_dict(dict(weights))
    return model
