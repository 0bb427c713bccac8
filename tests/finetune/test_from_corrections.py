"""The core use case in one call, without a window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_wavegms import Pair, fine_tune
from napari_wavegms.errors import InputError
from napari_wavegms.finetune.events import Stage
from napari_wavegms.finetune.presets import QUICK
from napari_wavegms.finetune.replay import learned
from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.checkpoint import save_checkpoint
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.segment.ood import LEAST_IMAGES, ImageKind, ImageKinds, describe

STEP = replace(QUICK, config=replace(QUICK.config, steps=2, precision="float32"))


def pair(number: int) -> Pair:
    mask = np.pad(np.ones((8, 8), np.uint8), 4)
    return Pair(f"p{number}", (180 * mask + number).astype(np.uint8), mask)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    card = ModelCard("tiny", preprocessing={"size": 16, "aspect": "squash", "percentiles": [0.1, 99.9]})
    network = WaveGMS()
    kind = ImageKind.of(np.array([describe(pair(number).image) for number in range(LEAST_IMAGES)]))
    card = replace(card, familiarity=ImageKinds((kind,)).as_dict())
    return save_checkpoint(tmp_path_factory.mktemp("start") / "tiny.safetensors", network, card)


def test_a_second_call_replays_what_the_first_one_learned_from(start: Path, tmp_path: Path) -> None:
    events: list[object] = []
    first = fine_tune(start, [pair(0)], preset=STEP, output=tmp_path, held_out=[pair(9)], on_event=events.append)
    stages = [event.name for event in events if isinstance(event, Stage)]
    assert stages == ["before", "learning", "after", "after"]
    assert first.path == tmp_path / "versions" / "v1.safetensors"
    assert first.before.keys() == first.after.keys() == {"p9"}
    second = fine_tune(first.path, [pair(0), pair(1)], preset=STEP, output=tmp_path, held_out=[pair(9)])
    assert second.version is not None
    assert (second.version.name, second.version.title) == ("v2", "Quick, 2 corrections")
    card = read_card(second.path)
    assert len(learned(card)) == 2
    known = ImageKinds.from_dict(card.familiarity)
    assert known is not None
    assert [kind.count for kind in known.kinds] == [LEAST_IMAGES]
    assert len(known.corrected) == 2  # the replayed one is not counted again


def test_an_unknown_preset_is_refused_with_the_known_ones(start: Path) -> None:
    with pytest.raises(InputError, match="no preset 'fast'; choose quick or full"):
        fine_tune(start, [pair(0)], preset="fast")
