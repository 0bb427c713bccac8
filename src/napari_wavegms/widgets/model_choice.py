"""The models to choose from, and what a card says about one; nothing here needs torch."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.zoo import DEFAULT_MODEL, listing


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model in the list: its name there, its file, and its card."""

    name: str
    path: Path
    card: ModelCard

    @classmethod
    def from_file(cls, path: Path) -> ModelChoice:
        """Read a model file's card.

        Raises
        ------
        CheckpointError
            If the file is none of ours, damaged or too new.
        """
        return cls(path.name, path, read_card(path))


def known_models() -> list[ModelChoice]:
    """List the shipped models and the user's own, the default first."""
    choices = [ModelChoice(entry.name, entry.path, entry.card) for entry in listing()]
    return sorted(choices, key=lambda choice: choice.name != DEFAULT_MODEL)


def card_html(choice: ModelChoice) -> str:
    """Write a card for a person to read, as rich text."""
    card = choice.card
    rows = {
        "File": str(choice.path),
        "Trained on": card.data,
        "Scores": "; ".join(_flat(card.scores)),
        "Threshold": f"{card.threshold:g}",
        "Size": f"{card.parameters:,} parameters" if card.parameters else "",
        "Trained": ", then ".join(_step(step) for step in card.lineage),
        "Created": card.created,
        "Terms": card.terms,
    }
    table = "".join(
        f"<tr><td><b>{html.escape(name)}</b>&nbsp;&nbsp;</td><td>{html.escape(text)}</td></tr>"
        for name, text in rows.items()
        if text
    )
    title = html.escape(card.title or card.name)
    paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in (card.description, card.disclaimer) if text)
    return f"<h3>{title}</h3>{paragraphs}<table>{table}</table>"


def _step(step: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in step.items() if isinstance(value, (str, int, float)))


def _flat(scores: Mapping[str, object], prefix: str = "") -> Iterable[str]:
    """Write nested scores in one line, each number after what it was measured on."""
    for name, value in scores.items():
        label = f"{prefix} {name}".strip()
        if isinstance(value, Mapping):
            yield from _flat(value, label)
        elif isinstance(value, float):
            yield f"{label} {value:.3g}"
        else:
            yield f"{label} {value}"
