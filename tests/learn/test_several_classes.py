"""Learning several classes: masks that tell of some, classes that are absent, scores class by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_wavegms import evaluate, load_pairs, train, write_mask
from napari_wavegms.errors import InputError
from napari_wavegms.files.provenance import Provenance
from napari_wavegms.learn.config import TrainConfig
from napari_wavegms.learn.frames import framed, planes_of
from napari_wavegms.learn.learner import Learner
from napari_wavegms.learn.losses import latent_loss, segmentation_loss, soft_dice_loss
from napari_wavegms.learn.pairs import Pair
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import save_checkpoint
from napari_wavegms.model.classes import LabelsNeeded
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.segment.preprocessing import Preprocessing
from napari_wavegms.segment.segmenter import Segmenter

SIZE = 16
NAMES = ("background", "disc", "cup")


def two_squares(name: str = "two", known: frozenset[int] | None = None) -> Pair:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[2:8, 2:8], mask[9:14, 8:14] = 1, 2
    return Pair(name, 100 * mask, mask, known=known)


@given(arrays(np.uint8, (5, 6), elements=st.integers(0, 4)))
def test_the_masks_of_the_classes_put_together_are_the_labels(labels: np.ndarray) -> None:
    planes = planes_of(labels, 4, "scan")
    assert planes.shape == (4, 5, 6)
    assert planes.sum(axis=0).max(initial=0) <= 1
    np.testing.assert_array_equal(np.einsum("kij,k->ij", planes, [1, 2, 3, 4]), labels)


def test_labels_that_are_no_classes_are_refused_with_the_image_s_name() -> None:
    with pytest.raises(LabelsNeeded, match=r"The mask of two holds the labels 1 and 2, and the model has one class"):
        framed([two_squares()], Preprocessing(size=SIZE))
    mask = np.full((4, 4), 3)
    mask[0] = 0
    with pytest.raises(LabelsNeeded, match=r"The mask of odd holds the label 3, and the model has 2 classes"):
        framed([Pair("odd", mask, mask)], Preprocessing(size=SIZE), classes=2)


def test_the_only_label_of_a_mask_is_the_one_class_whatever_its_number() -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[4:9] = 255
    masks = framed([Pair("one", mask, mask)], Preprocessing(size=SIZE)).masks
    np.testing.assert_array_equal(masks[0, 0].numpy(), mask // 255)


def test_a_class_that_a_mask_does_not_tell_about_learns_nothing_from_it() -> None:
    """The gradient of its rows in every head is zero, and that of the others is not."""
    frames = framed([two_squares(known=frozenset({1}))], Preprocessing(size=SIZE), classes=2)
    network = WaveGMS(classes=2)
    config = TrainConfig(size=SIZE, segmentation_loss="dice_entropy", precision="float32")
    learner = Learner(frames, network, load_codec(), config, None, "cpu")
    batch = learner.prepare([0], np.random.default_rng(0))
    weights = [network.mapper.heads[name][2].weight for name in ("level3", "level2", "level1", "out")]
    before = [weight.detach().clone() for weight in weights]
    learner.rate, learner.optimiser.param_groups[0]["weight_decay"] = 1e-3, 0.0
    learner.step(batch, torch.Generator().manual_seed(0))
    for weight, was in zip(weights, before, strict=True):
        assert torch.equal(weight[4:], was[4:])
        assert not torch.equal(weight[:4], was[:4])


def test_an_absent_class_is_no_part_of_the_dice_and_one_alone_is_what_it_was() -> None:
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(1, 2, 8, 8, generator=generator)
    masks = torch.zeros(1, 2, 8, 8)
    masks[:, 0, 2:5, 2:5] = 1
    known = torch.ones(1, 2, dtype=torch.bool)
    expected = soft_dice_loss(probability[:, :1], masks[:, :1])
    torch.testing.assert_close(segmentation_loss(probability, masks, "dice", known), expected)
    assert segmentation_loss(probability, 0 * masks, "dice", known) == 0
    latents, target = torch.rand(2, 1, 8, 2, 2, generator=generator)
    only_second = torch.tensor([[False, True]])
    torch.testing.assert_close(latent_loss(latents, target, only_second), latent_loss(latents[:, 4:], target[:, 4:]))


def test_scores_are_means_over_the_classes_that_are_there_or_were_found(tmp_path: Path) -> None:
    network = WaveGMS(classes=2)
    rules = {"size": SIZE, "aspect": "squash", "percentiles": [0.1, 99.9]}
    card = ModelCard("two", preprocessing=rules, class_names=NAMES)
    model = Segmenter.from_checkpoint(save_checkpoint(tmp_path / "two.safetensors", network, card), "cpu")
    pair = two_squares()
    found = model.segment(pair.image).mask
    truth = Pair("as found", pair.image, found)
    nothing = Pair("nothing", pair.image, np.where(found == 1, 0, found), known=frozenset({1}))
    report = evaluate(model, [truth, nothing] if (found == 1).any() else [truth])
    assert report.images[0].dsc == 1
    assert report.images[0].by_class == dict.fromkeys(map(int, np.unique(found[found > 0])), 1.0)
    if len(report.images) == 2:
        assert (report.images[1].dsc, report.images[1].by_class) == (0, {1: 0.0})
    with pytest.raises(LabelsNeeded, match=r"the model has 2 classes"):
        evaluate(model, [Pair("odd", pair.image, 3 * (pair.mask > 0))])


def test_a_folder_of_labels_becomes_a_model_of_classes_that_tells_them_apart(tmp_path: Path) -> None:
    for number in range(2):
        mask = two_squares().mask * np.uint8(10)
        write_mask(tmp_path / "masks" / f"scan{number}.png", mask)
        write_mask(tmp_path / "images" / f"scan{number}.png", 4 * mask)
    folders = tmp_path / "images", tmp_path / "masks"
    config = TrainConfig(epochs=40, batch=2, size=SIZE, learning_rate=3e-3, alignment_weight=0)
    with pytest.raises(InputError, match=r"No mask holds the label 3; they hold 10 and 20"):
        load_pairs(*folders, labels=3)
    pairs = load_pairs(*folders, labels="each")
    assert {int(value) for value in np.unique(pairs[0].mask)} == {0, 1, 2}
    start = save_checkpoint(tmp_path / "start.safetensors", WaveGMS(classes=2), ModelCard("start", class_names=NAMES))
    result = train(pairs, start=start, config=config, output=tmp_path / "run", device="cpu")
    report = evaluate(result.best, pairs)
    assert result.card.class_names == NAMES
    assert set(report.by_class) == {1, 2}
    assert report.dsc > 0.5


def test_a_file_that_names_its_labels_tells_which_ones_were_looked_for(tmp_path: Path) -> None:
    mask = (two_squares().mask == 1).astype(np.uint8)
    for name, names in (("one", NAMES[:2]), ("both", NAMES), ("none", ())):
        write_mask(tmp_path / "images" / f"{name}.png", 100 * mask)
        about = Provenance.now("eye", 0.5, class_names=names)
        write_mask(tmp_path / "masks" / f"{name}.tif", mask, provenance=about)
    known = {pair.name: pair.known for pair in load_pairs(tmp_path / "images", tmp_path / "masks")}
    assert known == {"one": frozenset({1}), "both": frozenset({1, 2}), "none": None}


def test_a_class_that_is_a_copy_learns_first_and_nothing_else_moves() -> None:
    torch.manual_seed(0)
    network = WaveGMS().with_classes([0, 0])
    assert (network.copies, WaveGMS(classes=2).copies, WaveGMS().copies) == ([1], [], [])
    before = {name: weights.clone() for name, weights in network.state_dict().items()}
    frames = framed([two_squares()], Preprocessing(size=SIZE), classes=2)
    config = TrainConfig(size=SIZE, trained="mapper", segmentation_loss="dice_entropy", precision="float32")
    learner = Learner(frames, network, load_codec(), config, None, "cpu")
    batch = learner.prepare([0], np.random.default_rng(0))

    def losses() -> list[float]:
        """The squared error of each class's latent."""
        with torch.no_grad():
            found = network.mapper(batch.latent).out
        return [latent_loss(found[:, k : k + 4], batch.targets.mask_latents[:, k : k + 4]).item() for k in (0, 4)]

    start = losses()
    assert sum(1 for _ in learner.teach_copies()) > 10
    for name, weights in network.state_dict().items():
        is_head = name.startswith("mapper.heads.") and name.endswith(".2.weight")
        assert torch.equal(weights[:4] if is_head else weights, before[name][:4] if is_head else before[name])
    first, second = losses()
    assert first == start[0]
    assert second < start[1] / 2
    assert not [*learner.teach_copies()]  # it is no copy any more


def test_a_copy_that_no_mask_tells_about_stays_one() -> None:
    network = WaveGMS().with_classes([0, 0])
    frames = framed([two_squares(known=frozenset({1}))], Preprocessing(size=SIZE), classes=2)
    learner = Learner(frames, network, load_codec(), TrainConfig(size=SIZE, trained="mapper"), None, "cpu")
    assert not [*learner.teach_copies()]
    assert network.copies == [1]
