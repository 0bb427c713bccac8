"""A promoted version is what Segment offers first, and a damaged index of versions stops nobody from segmenting."""

from __future__ import annotations

from functools import partial

import torch

from napari_wavegms.finetune.gate import judge
from napari_wavegms.finetune.versions import STARTING_MODEL, ModelVersions
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import save_checkpoint
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.widgets.forms.model_row import known_models, models_for_segmenting


def add_version() -> ModelVersions:
    torch.manual_seed(0)
    save = partial(save_checkpoint, model=WaveGMS(), card=ModelCard(name="better"))
    versions = ModelVersions()
    before, after = {"a": 0.2, "b": 0.3}, {"a": 0.7, "b": 0.8}
    versions.add(save, judge(before, after), parent="default", before=before, after=after)
    return versions


def names() -> list[str]:
    return [choice.name for choice in models_for_segmenting()]


def test_the_version_in_use_comes_first_and_steps_back_when_rolled_back() -> None:
    installed = [choice.name for choice in known_models()]
    assert names() == installed
    versions = add_version()
    assert names() == ["v1", *installed]
    versions.roll_back(STARTING_MODEL)
    assert names() == [*installed, "v1"]


def test_a_damaged_database_leaves_the_installed_models() -> None:
    versions = add_version()
    versions.database.path.write_bytes(b"no database at all" * 100)
    assert names() == [choice.name for choice in known_models()]
