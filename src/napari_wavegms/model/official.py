"""Import checkpoints of the official Wave-GMS code."""

from __future__ import annotations

import os
import re
import reprlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.checkpoint import network_of, save_checkpoint

# Official name -> ours, applied in this order to keys that start with the network's own prefix.
_ENCODER_NAMES = (
    (r"^encoder\.feature_extractor_L([123])\.", lambda found: f"encoder.levels.{int(found[1]) - 1}."),
    (r"^encoder\.feature_aggregator\.", "encoder.aggregate."),
    (r"\.in_layer\.", ".stem."),
    (r"\.out_layer\.", ".head."),
    (r"\.encoder_blocks\.", ".down."),
    (r"\.mid_block\.res", ".middle."),
    (r"\.decoder_blocks\.", ".up."),
    (r"\.(norm|conv)_in\.", r".\g<1>1."),
    (r"\.(norm|conv)_out\.", r".\g<1>2."),
    (r"\.skip_connection\.", ".skip."),
)

_MAPPER_NAMES = (
    (r"^input_blocks\.", "mapper.stem."),
    (r"^conv([1-4])_0\.", lambda found: f"mapper.encoder.{int(found[1]) - 1}."),
    (r"^conv[0-3]_([1-4])\.", lambda found: f"mapper.decoder.{int(found[1]) - 1}."),
    (r"^convds([123])\.", r"mapper.heads.level\1."),
    (r"^convds0\.", "mapper.heads.out."),
    (r"\.resblock\.", ".residual."),
    (r"\.proj_out\.", ".projection."),
    (r"\.skip_connection\.", ".skip."),
)


def translate_official(checkpoint: object) -> dict[str, Tensor]:
    """Turn `{"model": LMM state dict, "vae_model": E_wave state dict}` into a state dict for `WaveGMS`, float32.

    Raises `CheckpointError` if the two parts are not there, or contain anything but plain tensors under names.
    """
    parts = checkpoint if isinstance(checkpoint, Mapping) else {}
    mapper, encoder = parts.get("model"), parts.get("vae_model")
    if not isinstance(mapper, Mapping) or not isinstance(encoder, Mapping):
        found = f"the entries {reprlib.repr(sorted(map(str, parts)))}" if parts else f"a {type(checkpoint).__name__}"
        raise CheckpointError(
            f"The file contains {found}; an official Wave-GMS checkpoint contains the state dicts 'model' and "
            "'vae_model'. Choose such a file."
        )
    return _renamed(encoder, _ENCODER_NAMES) | _renamed(mapper, _MAPPER_NAMES)


def _renamed(state: Mapping[Any, Any], names: tuple[tuple[str, object], ...]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        if not (isinstance(name, str) and _is_plain(tensor)):
            raise CheckpointError(
                f"The checkpoint's entry {reprlib.repr(name)} is not a plain tensor of floats. Choose another file."
            )
        for pattern, ours in names:
            name = re.sub(pattern, ours, name)  # type: ignore[call-overload]
        renamed[name] = tensor.float()
    return renamed


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not (value.is_meta or value.is_quantized or value.is_nested)
        and value.is_floating_point()
        # Not one value that stands for a whole tensor, which float() would write out.
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def import_official(pth: str | os.PathLike[str], output: str | os.PathLike[str]) -> ModelCard:
    """Convert an official checkpoint to a model file; only tensors are unpickled. Raises `CheckpointError`."""
    source = Path(pth)
    if not source.is_file():
        what = f"{source} is no regular file" if source.exists() else f"There is no file {source}"
        raise CheckpointError(f"{what}. Choose an official checkpoint (.pth).")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch wonders about damaged bytes, which the sentence below tells
            checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises anything over damaged bytes
        raise CheckpointError(
            f"{source.name} cannot be read as a PyTorch checkpoint of plain tensors. Get a fresh copy of the file."
        ) from error
    model = network_of(translate_official(checkpoint), source.name)
    card = ModelCard(
        name=Path(output).stem,
        title=f"Imported from {source.name}",
        description="Weights of the official Wave-GMS code, for TAESD's latents.",
        codec="taesd",
        lineage=({"imported": source.name},),
    )
    save_checkpoint(output, model, card)
    return read_card(output)
