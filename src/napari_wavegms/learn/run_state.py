"""What a stopped run needs to go on, as tensors beside the weights of `last.safetensors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel


def pack_state(optimiser: torch.optim.Optimizer, averaged: AveragedModel | None) -> dict[str, Tensor]:
    """Moments of the optimiser and averaged weights, under flat names."""
    state = {
        f"optimiser.{index}.{name}": value
        for index, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }
    if averaged is not None:
        state |= {f"averaged.{name}": value for name, value in averaged.state_dict().items()}
    return state


def unpack_state(state: Mapping[str, Tensor], optimiser: torch.optim.Optimizer, averaged: AveragedModel | None) -> None:
    """Undo `pack_state`."""
    entries: dict[int, dict[str, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    for key, tensor in state.items():
        part, _, rest = key.partition(".")
        if part == "averaged":
            weights[rest] = tensor
        elif part == "optimiser":
            index, _, name = rest.partition(".")
            entries.setdefault(int(index), {})[name] = tensor
    whole: dict[str, Any] = optimiser.state_dict()
    optimiser.load_state_dict(whole | {"state": entries})
    if averaged is not None:
        averaged.load_state_dict(weights)
