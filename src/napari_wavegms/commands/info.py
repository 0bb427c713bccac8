"""`wavegms info`: a model file's card."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_wavegms.commands.common.arguments import Commands, add_command, add_shared
from napari_wavegms.commands.common.console import show, show_json
from napari_wavegms.commands.common.models import named_model
from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.wording import shortened

_WIDTH = 100
_LONGEST = 2000  # characters of a field
_LABEL = 13  # width of the left column
_CONFIG = {
    "epochs": "{} epochs",
    "size": "{0} x {0} pixels",
    "learning_rate": "learning rate {}",
    "seed": "seed {}",
}
_NAMES = {"dsc": "DSC", "iou": "IoU", "hd95": "HD95"}


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "info", run, "Show a model's card")
    parser.add_argument("model", metavar="MODEL", help="a name from 'wavegms models', or a .safetensors file")
    add_shared(parser, "--json")


def run(options: argparse.Namespace) -> int:
    """Print the card."""
    path = named_model(options.model)
    card = read_card(path)
    if options.json:
        show_json({"path": str(path), "bytes": path.stat().st_size} | card.as_dict())
        return 0
    try:
        lines = list(card_lines(card, path))
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise CheckpointError(f"The model card of {path.name} is damaged ({error}). Get a fresh copy.") from error
    show(*lines)
    return 0


def card_lines(card: ModelCard, path: Path) -> Iterator[str]:
    """A card for a person to read."""
    yield shortened(f"{card.name}: {card.title}" if card.title else card.name)
    if card.description:
        yield from ("", *textwrap.wrap(shortened(card.description, _LONGEST), _WIDTH))
    yield ""
    for label, text in _rows(card, path):
        lines = textwrap.wrap(
            shortened(text, _LONGEST), _WIDTH - _LABEL, break_long_words=False, break_on_hyphens=False
        )
        yield from (f"{label if i == 0 else '':{_LABEL}}{line}" for i, line in enumerate(lines))
    yield from ("", card.disclaimer)


def _rows(card: ModelCard, path: Path) -> Iterator[tuple[str, str]]:
    yield "File", f"{path} ({path.stat().st_size / 1e6:.1f} MB, format {card.format_version})"
    yield "Parameters", f"{card.parameters:,}"
    yield "Images", _preparation(card.preprocessing)
    yield "Labels", ", ".join(_classes(card))
    yield "Threshold", str(card.threshold)
    yield "Codec", card.codec
    yield "Context", card.context
    for where, values in card.scores.items():
        yield "Scores", f"{where}: {_flat(values)}"
    yield "Data", card.data
    for step, entry in enumerate(card.lineage, start=1):
        yield "Training" if step == 1 else "", f"{step}. {_training(entry)}"
    yield "Command", card.command
    yield "Created", ", ".join([card.created, *(f"{name} {version}" for name, version in card.versions.items())])
    yield "Terms", card.terms


def _classes(card: ModelCard) -> Iterator[str]:
    """Each label with its name, and with its colour and code where the card has some."""
    for value, name in enumerate(card.class_names):
        color, code = ("".join(values[value - 1 : value]) for values in (card.class_colors, card.class_codes))
        more = ", ".join(filter(None, (color, code)))
        yield f"{value} {name}{f' ({more})' if more else ''}"


def _preparation(rules: Mapping[str, Any]) -> str:
    size, (low, high) = rules["size"], rules["percentiles"]
    fit = "squashed" if rules["aspect"] == "squash" else "fitted with black borders"
    fit = f"uniform margins left out, {fit}" if rules.get("margins") else fit
    ends = f"the {low} percentile becomes black and the {high} percentile white"
    if rules.get("of_volume"):
        ends = f"{ends} (of all planes of a volume)"
    if window := rules.get("window"):
        ends = "{:g} becomes black and {:g} white".format(*window)
    return f"{fit} to {size} x {size} pixels; bool and uint8 are used as they are, in every other type {ends}"


def _training(entry: Mapping[str, Any]) -> str:
    config = entry.get("config", {})
    known = [words.format(config[name]) for name, words in _CONFIG.items() if name in config]
    rest = [f"{name} {_flat(value)}" for name, value in entry.items() if name != "config"]
    return ", ".join([*rest, *known])


def _flat(value: Any) -> str:
    """Nested values in one line, with three decimals."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_NAMES.get(name, name)} {_flat(part)}" for name, part in value.items())
    return f"{value:.3f}" if isinstance(value, float) else str(value)
