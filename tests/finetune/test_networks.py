"""Which network learns: the one that knows the corrections best, while the other one keeps the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_wavegms.files.reading import read_image
from napari_wavegms.finetune.networks import Networks
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import read_card
from napari_wavegms.model.checkpoint import load_checkpoint, load_keeper, save_checkpoint
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.ood import ImageKinds
from napari_wavegms.segment.segmenter import Segmenter


def same(first: WaveGMS | None, second: WaveGMS | None) -> bool:
    assert first is not None
    assert second is not None
    weights = second.state_dict()
    return all((tensor == weights[name]).all() for name, tensor in first.state_dict().items())


@pytest.fixture
def correction(shared: Path) -> dict[str, Pair]:
    found = {}
    for data in ("busi", "kvasir_seg"):
        image = read_image(min((shared / "data" / data / "images").iterdir())).pixels
        found[data] = Pair(data, image, np.ones(image.shape[:2], bool))
    return found


def test_the_network_that_knows_the_corrections_learns(correction: dict[str, Pair]) -> None:
    file = resolve("default")
    first, second = load_checkpoint(file)[0], load_keeper(file)
    polyps = Networks.of(file, [correction["kvasir_seg"]])
    assert same(polyps.learner, first)
    assert same(polyps.keeper, second)
    ultrasound = Networks.of(file, [correction["busi"]])
    assert same(ultrasound.learner, second)
    assert same(ultrasound.keeper, first)
    kinds, exchanged = (ImageKinds.from_dict(each) for each in (read_card(file).familiarity, ultrasound.familiarity))
    assert kinds is not None
    assert exchanged is not None
    assert [kind.relearned for kind in exchanged.kinds][2:] == [not kind.relearned for kind in kinds.kinds][2:]
    assert exchanged.kinds[0].relearned, "what is corrected is answered by what learns"


def test_a_single_network_keeps_itself_where_kinds_are_known(correction: dict[str, Pair], tmp_path: Path) -> None:
    network, card = load_checkpoint(resolve("default"))
    known = save_checkpoint(tmp_path / "known.safetensors", network, card)
    alone = Networks.of(known, [correction["busi"]])
    assert same(alone.keeper, network)
    assert alone.keeper is not alone.learner
    unknown = save_checkpoint(tmp_path / "unknown.safetensors", network, replace(card, familiarity={}))
    assert Networks.of(unknown, [correction["busi"]]).keeper is None
    # Without context nothing can be told while it segments.
    assert Networks.of(resolve("skin-lesion"), [correction["busi"]]).keeper is None


def test_a_trunk_that_learned_does_not_change_which_network_answers(shared: Path, tmp_path: Path) -> None:
    """Kinds are told apart by the trunk that is frozen, whatever a network's own one has become."""
    card = read_card(resolve("default"))
    torch.manual_seed(0)
    learned, keeper = WaveGMS(own_trunk=True).eval(), WaveGMS(own_trunk=True).eval()
    with torch.no_grad():
        for network in (learned, keeper):
            network.mapper.context.weight.normal_(std=0.01)
        for weights in learned.trunk.parameters():
            weights.mul_(0.9)
    both, first, second = (
        save_checkpoint(tmp_path / f"{name}.safetensors", network, card, keeper=other)
        for name, network, other in (("both", learned, keeper), ("first", learned, None), ("second", keeper, None))
    )
    for data, answering in (("busi", second), ("atlas/train/dsb2018_fluo", first)):
        image = read_image(min((shared / "data" / data / "images").iterdir())).pixels
        answers = [Segmenter.from_checkpoint(file, "cpu").segment(image) for file in (both, answering)]
        assert np.array_equal(answers[0].probability, answers[1].probability)
