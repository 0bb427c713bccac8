"""A model of several classes: a probability of each, and the most probable one as the label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_wavegms.files.reading import read_image
from napari_wavegms.model.card import BINARY, ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve
from napari_wavegms.segment.box_prompt import Box, segment_box
from napari_wavegms.segment.ood import ImageKinds, describe
from napari_wavegms.segment.segmenter import Segmenter, segment_stack

K = 3
NAMES = ("background", "disc", "cup", "vessel")


def network(classes: int) -> WaveGMS:
    """A network whose classes differ, and that finds something."""
    torch.manual_seed(0)
    made = WaveGMS(context=True, classes=classes)
    with torch.no_grad():
        made.mapper.heads["out"][2].weight *= 3
    return made


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    rules = {"size": 32, "aspect": "squash", "percentiles": [0.1, 99.9]}
    card = ModelCard("eye", preprocessing=rules, class_names=NAMES)
    path = save_checkpoint(tmp_path_factory.mktemp("models") / "eye.safetensors", network(K), card)
    return Segmenter.from_checkpoint(path, device="cpu")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((70, 50))


@pytest.mark.parametrize("detail", ["whole", "native"])
def test_the_label_is_the_most_probable_class_where_it_reaches_the_threshold(
    segmenter: Segmenter, image: np.ndarray, detail: str
) -> None:
    found = segmenter.with_detail(detail).segment(image)
    assert found.probability.shape == (K, 70, 50)
    np.testing.assert_allclose(found.confidence, found.probability.max(axis=0), atol=1e-6)
    assert found.classes is not None
    np.testing.assert_array_equal(found.classes, found.probability.argmax(axis=0) + 1)
    for threshold in (0.2, 0.5, 0.8):
        expected = np.where(found.confidence >= np.float32(threshold), found.classes, 0)
        np.testing.assert_array_equal(found.at(threshold).mask, expected)
    assert len(np.unique(found.at(0.2).mask)) > 2


def test_a_class_alone_is_what_it_is_among_others(segmenter: Segmenter, image: np.ndarray) -> None:
    together = segmenter.segment(image).probability
    for k in range(K):
        card = ModelCard("one", preprocessing=segmenter.card.preprocessing)
        alone = Segmenter(segmenter.model.with_classes([k]), card, load_codec(), choose_device("cpu"))
        np.testing.assert_allclose(alone.segment(image).probability, together[k], atol=0.03)  # bfloat16


def test_a_stack_has_the_classes_of_its_planes(segmenter: Segmenter) -> None:
    stack = np.random.default_rng(0).random((2, 40, 30))
    whole = segment_stack(segmenter, stack)
    assert whole.probability.shape == (K, 2, 40, 30)
    for number, plane in enumerate(stack):
        one = segmenter.segment(plane)
        np.testing.assert_array_equal(whole.probability[:, number], one.probability)
        np.testing.assert_array_equal(whole.mask[number], one.mask)
    assert whole.at(0.1).mask.max() == K


def test_a_uniform_image_has_none_of_the_classes(segmenter: Segmenter) -> None:
    found = segmenter.segment(np.full((30, 30), 7.0))
    assert not found.mask.any()
    assert not found.probability.any()


def test_in_a_box_it_is_the_class_that_is_painted(segmenter: Segmenter, image: np.ndarray) -> None:
    box = Box(10, 50, 5, 45)
    answers = [segment_box(segmenter, image, box, label=label).probability for label in (1, 2, 3, 9)]
    window = box.window((70, 50))
    scaled = np.rint((image - np.percentile(image, 0.1)) / np.ptp(np.percentile(image, [0.1, 99.9])).clip(1e-9) * 255)
    seen = segmenter.segment(scaled.clip(0, 255).astype(np.uint8)[window.rows, window.columns])
    inside = slice(10 - window.top, 50 - window.top), slice(5 - window.left, 45 - window.left)
    for label in range(K):
        np.testing.assert_array_equal(answers[label], seen.probability[label][inside])
    np.testing.assert_array_equal(answers[3], seen.confidence[inside])  # not a class of the model


def test_a_keeper_of_fewer_classes_knows_nothing_of_those_that_were_added(shared: Path, tmp_path: Path) -> None:
    polyp, nodule = (
        read_image(min((shared / "data" / data / "images").iterdir())).pixels for data in ("kvasir_seg", "busi")
    )
    start, card = load_checkpoint(resolve("default"))
    kinds = ImageKinds.from_dict(card.familiarity)
    assert kinds is not None
    corrected = kinds.with_corrections([describe(polyp)]).as_dict()
    card = replace(card, familiarity=corrected, class_names=(*card.class_names, "cyst"))
    file = save_checkpoint(tmp_path / "two.safetensors", start.with_classes([0, 0]), card, keeper=start)
    alone = save_checkpoint(tmp_path / "one.safetensors", start, replace(card, familiarity={}, class_names=BINARY))
    routed, before = Segmenter.from_checkpoint(file, "cpu"), Segmenter.from_checkpoint(alone, "cpu")
    kept = routed.segment(nodule).probability
    np.testing.assert_array_equal(kept[0], before.segment(nodule).probability)
    assert not kept[1].any()
    learned = routed.segment(polyp).probability
    np.testing.assert_array_equal(learned[0], learned[1])
    assert learned.any()
