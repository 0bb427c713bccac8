"""`wavegms models`: what can be chosen by name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from napari_wavegms.commands.common.arguments import Commands, add_command, add_shared
from napari_wavegms.commands.common.console import note, show, show_json
from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.finetune.versions import ModelVersions, VersionEntry
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.registry import DEFAULT, DEFAULT_MODEL, ModelEntry, list_models, resolve, user_models
from napari_wavegms.storage.user_data import user_models_folder
from napari_wavegms.wording import shortened


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(
        commands,
        "models",
        run,
        "List the models that can be chosen by name",
        epilog=f"Your own models are the .safetensors files in {user_models_folder()}",
    )
    add_shared(parser, "--json")


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    entries = list_models()
    unreadable = _unreadable(entries)
    versions: list[VersionEntry] = []
    lost: tuple[str, ...] = ()
    try:
        known = ModelVersions()
        versions, lost = known.listing(), known.warnings
    except InputError as error:  # a damaged database does not hide the models
        unreadable.append(str(error))
    if options.json:
        show_json([*(_as_dict(entry) for entry in entries), *(_version_as_dict(version) for version in versions)])
    elif entries:
        lines = _table([_row(entry) for entry in entries])
        if versions:
            lines += ["", "Fine-tuned versions:", *(f"  {entry.sentence}" for entry in versions)]
        show(*lines, "", "* the default. See 'wavegms info NAME' for details.")
    else:
        show(f"No model is installed. Copy .safetensors files to {user_models_folder()}, or give a file to --model.")
    for sentence in (*unreadable, *lost):
        note(sentence)
    return 1 if unreadable else 0


@dataclass(frozen=True, slots=True)
class Score:
    """A DSC and what it was measured on."""

    dsc: float
    where: str

    def __str__(self) -> str:
        return f"{self.dsc:.3f} on {self.where}"


def scores_of(card: ModelCard) -> list[Score]:
    """The DSC on each set of images that the card has scores of.

    Examples
    --------
    >>> for score in scores_of(ModelCard("a", scores={"validation": {"dsc": 0.7414, "n": 57}, "unfinished": {}})):
    ...     print(score)
    0.741 on validation (57 images)
    """
    found = []
    for where, values in card.scores.items():
        if isinstance(values, dict) and isinstance(values.get("dsc"), (int, float)) and 0 <= values["dsc"] <= 1:
            count = f" ({values['n']} images)" if "n" in values else ""
            found.append(Score(float(values["dsc"]), f"{where}{count}"))
    return found


def _unreadable(entries: Sequence[ModelEntry]) -> list[str]:
    """Sentences on the user's model files that the list_models leaves out."""
    read = {entry.path for entry in entries}
    sentences = []
    for path in user_models().values():
        if path not in read:
            try:
                read_card(path)
            except CheckpointError as error:
                sentences.append(str(error))
    return sentences


def _is_default(entry: ModelEntry) -> bool:
    return entry.name == DEFAULT_MODEL and entry.path == resolve(DEFAULT)


def _row(entry: ModelEntry) -> tuple[str, ...]:
    scores = ", ".join(map(str, scores_of(entry.card)))
    mark = "*" if _is_default(entry) else " "
    size = f"{entry.path.stat().st_size / 1e6:.1f} MB"
    return f"{mark} {entry.name}", size, shortened(scores) or "–", shortened(entry.card.title)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    everything = [("  name", "size", "DSC", "description"), *rows]
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in everything)
    return [line.rstrip() for line in lines]


def _version_as_dict(entry: VersionEntry) -> dict[str, Any]:
    version = entry.version
    return {
        "name": version.name,
        "default": False,
        "shipped": False,
        "in_use": entry.in_use,
        "path": str(entry.path),
        "bytes": version.size,
        "title": version.title,
        "dsc": version.dsc,
        "measured_on": f"test images ({len(version.after)} images)" if version.after else None,
    }


def _as_dict(entry: ModelEntry) -> dict[str, Any]:
    scores = scores_of(entry.card)
    return {
        "name": entry.name,
        "default": _is_default(entry),
        "shipped": entry.shipped,
        "path": str(entry.path),
        "bytes": entry.path.stat().st_size,
        "title": entry.card.title,
        "dsc": scores[0].dsc if scores else None,
        "measured_on": scores[0].where if scores else None,
        "scores": [asdict(score) for score in scores],
    }
