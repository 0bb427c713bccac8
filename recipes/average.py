"""The generalist: the mean of the weights of models that went on from one and the same, and a second network.

    python recipes/average.py --models runs/both.safetensors breast-ultrasound skin-lesion --data BUSI ISIC \
        --output runs/two-kinds.safetensors
    python recipes/train_generalist.py --begin-with runs/two-kinds.safetensors --run runs/many ...
    python recipes/average.py --models runs/many/averaged.safetensors runs/two-kinds.safetensors --data BUSI ISIC \
        --output runs/first.safetensors
    python recipes/train_generalist.py --begin-with runs/first.safetensors --run runs/onwards ...
    cp runs/onwards/averaged.safetensors runs/many-kinds.safetensors
    python recipes/familiarity.py --data DATA --kept busi isic2017 --models runs/many-kinds.safetensors
    python recipes/average.py --models runs/many-kinds.safetensors --keeper runs/two-kinds.safetensors \
        --data BUSI ISIC --output src/napari_wavegms/assets/generalist.safetensors

Models that were fine-tuned from common weights lie in one valley of the loss, and their mean in its middle (model
soups: Wortsman et al., ICML 2022, arXiv 2203.05482); the mean of a model and its start forgets less (WiSE-FT: Wortsman
et al., CVPR 2022, arXiv 2109.01903). A model named twice counts twice. What is written is the first model's card, with
the recipe's words and the scores of the mean.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from lab import command, parsed
from sets import read_set
from settings import RECIPES
from train_shipped import ship

from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    recipe = RECIPES["generalist"]
    models, cards = zip(*(load_checkpoint(resolve(name)) for name in options.models), strict=True)
    held_out = [
        (source.name, read_set(folder, "val")) for source, folder in zip(recipe.sets, options.data, strict=True)
    ]
    mixed = f". Its weights are the mean of those of {', '.join(Path(name).stem for name in options.models)}."
    about = {
        "name": options.output.stem,
        "title": recipe.title,
        "description": recipe.description,
        "data": cards[0].data.rstrip(".") + mixed if len(models) > 1 else cards[0].data,
        "command": command(options.arguments),
    }
    model = mean(models)
    keeper = with_weights_of(load_checkpoint(options.keeper)[0], model) if options.keeper else None
    ship(model, replace(cards[0], **about), load_codec("mask-codec"), held_out, options.output, keeper)


def mean(models: Sequence[WaveGMS]) -> WaveGMS:
    """The mean of the weights, in float64."""
    averaged = WaveGMS(
        context=any(model.trunk is not None for model in models),
        own_trunk=any(model.trunk is not None and model.trunk.learns for model in models),
    )
    states = [with_weights_of(model, averaged).state_dict() for model in models]
    averaged.load_state_dict(
        {name: torch.stack([state[name].double() for state in states]).mean(0) for name in averaged.state_dict()}
    )
    return averaged


def with_weights_of(model: WaveGMS, network: WaveGMS) -> WaveGMS:
    """A network of the same parts as `network` that computes what `model` computes.

    Where `model` has no context, its context weights are zero and its trunk, which does not matter
    then, is `network`'s.
    """
    same = copy.deepcopy(network)
    no_context = {name: torch.zeros_like(w) for name, w in same.state_dict().items() if "mapper.context" in name}
    same.load_state_dict({**same.state_dict(), **no_context, **model.state_dict()})
    return same


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", metavar="NAME|FILE", required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="BUSI and ISIC, in this order")
    parser.add_argument("--output", type=Path, required=True, help="the model file to ship")
    parser.add_argument("--keeper", type=Path, help="a second network for the file, see recipes/familiarity.py --kept")
    return parsed(parser, arguments)


if __name__ == "__main__":
    main()
