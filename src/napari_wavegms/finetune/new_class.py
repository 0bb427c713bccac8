"""Classes are added to a model: a version that has them, and says what the model said until it has learned."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.gate import Verdict
from napari_wavegms.finetune.versions import ModelVersions, Version
from napari_wavegms.model.card import read_card


def add_classes(start: Path, names: tuple[str, ...], home: Path | None = None) -> Version:
    """Make a version of a model that has all classes of these names, and put it in use: nothing that it says changes.

    A new class begins as a copy of the model's last one. Of two equal classes the first is drawn, so that the new one
    shows as soon as it has learned something, see `napari_wavegms.segment.postprocess.strongest`.

    Parameters
    ----------
    start : pathlib.Path
        A model file; the version in use instead, where that has more of the classes.
    names : tuple of str
        Of all labels, background first.
    home : pathlib.Path, optional
        Folder of the versions; the user's own by default.

    Raises
    ------
    InputError, CheckpointError
        If the model has other classes, cannot be read, or the version not be written; nothing has changed then.
    """
    from napari_wavegms.model.checkpoint import load_checkpoint, load_keeper, save_checkpoint

    versions = ModelVersions(home)
    current = versions.current_path()
    known = [(len(read_card(path).class_names), path) for path in (start, current) if path is not None]
    fitting = [(count, path) for count, path in known if read_card(path).class_names == names[:count]]
    if not fitting:
        raise InputError(
            f"{start.stem} has the classes {', '.join(read_card(start).class_names[1:])}, which are not those of this "
            f"mask ({', '.join(names[1:])}). Segment the image with the model in use, and add the class there."
        )
    _, start = max(fitting, key=lambda one: one[0])
    network, card = load_checkpoint(start)
    added = ", ".join(names[len(card.class_names) :])
    made = replace(card, class_names=names, title=f"{card.title}, with {added}".lstrip(", "))
    save = partial(save_checkpoint, model=network.with_at_least(len(names) - 1), card=made, keeper=load_keeper(start))
    version = versions.add(save, Verdict(f"added {added}"), start.stem, made.title)
    return versions.promote(version.number)
