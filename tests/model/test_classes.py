"""Several classes: each has a latent of its own, and one class is what it was before there were several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.model.card import MOST_CLASSES, ModelCard, read_card
from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint
from napari_wavegms.model.classes import LabelsNeeded, as_classes, classes_for, values_in
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.network import WaveGMS

VALUES = st.frozensets(st.integers(1, 300), max_size=12)


def latents(network: WaveGMS) -> torch.Tensor:
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return torch.cat(network.eval()(image).mask, dim=1)


def test_a_class_costs_9216_parameters_and_the_first_one_is_the_paper_s() -> None:
    count = {k: sum(p.numel() for p in WaveGMS(classes=k).parameters()) for k in (1, 2, 16)}
    assert count == {1: 2_600_668, 2: 2_600_668 + 9_216, 16: 2_600_668 + 15 * 9_216}


@pytest.mark.parametrize("context", [False, True])
def test_copied_classes_answer_as_the_class_that_they_were_copied_from(context: bool) -> None:
    network = WaveGMS(context, classes=2)
    several = network.with_classes([1, 0, 1])
    assert (several.classes, network.classes) == (3, 2)
    first, second = latents(network).unflatten(1, (4, 2, 4)).unbind(2)  # heads, classes, channels
    one, two, three = latents(several).unflatten(1, (4, 3, 4)).unbind(2)
    # A convolution of more channels may add up in another order.
    for found, expected in ((one, second), (two, first), (three, second)):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(latents(network.with_classes([0, 1])), latents(network))


def test_each_class_is_drawn_by_the_codec_as_if_it_were_alone() -> None:
    codec = load_codec()
    masks = (torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(0)) > 0.7).float()
    with torch.inference_mode():
        found = codec.encode_masks(masks)
        alone = [codec.encode(masks[:, k, None]) for k in range(3)]
        torch.testing.assert_close(found, torch.cat(alone, dim=1), rtol=1e-4, atol=1e-4)
        drawn = torch.cat([codec.decode(latent) for latent in alone], dim=1)
        torch.testing.assert_close(codec.decode_masks(found), drawn, rtol=1e-3, atol=1e-3)
        assert torch.equal(codec.decode_masks(alone[0]), codec.decode(alone[0]))
        assert torch.equal(codec.encode_masks(masks[:, :1]), alone[0])


def test_classes_go_through_a_file_with_their_names_colours_and_codes(tmp_path: Path) -> None:
    names, colors, codes = ("background", "disc", "cup"), ("#00e6ff", "#FF9900"), ("", "SCT 1")
    card = ModelCard("eye", class_names=names, class_colors=colors, class_codes=codes)
    path = save_checkpoint(tmp_path / "eye.safetensors", network := WaveGMS(classes=2), card)
    again, read = load_checkpoint(path)
    assert (read.class_names, read.class_colors, read.class_codes) == (names, colors, codes)
    assert torch.equal(latents(again), latents(network))


def test_a_card_whose_names_are_not_the_network_s_classes_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "eye.safetensors", WaveGMS(classes=3), ModelCard("eye"))
    with pytest.raises(CheckpointError, match=r"names 1 classes, and the network draws 3"):
        load_checkpoint(path)


def test_a_card_s_colour_that_is_none_is_refused(tmp_path: Path) -> None:
    card = replace(ModelCard("eye"), class_colors=("cyan",))
    path = save_checkpoint(tmp_path / "eye.safetensors", WaveGMS(), card)
    with pytest.raises(CheckpointError, match=r"its colours contain 'cyan'"):
        read_card(path)


@given(VALUES, st.integers(1, 4))
def test_each_label_becomes_a_class_of_its_own_and_known_ones_stay(values: frozenset[int], classes: int) -> None:
    meaning = classes_for(values, "each", classes)
    assert meaning.keys() == values
    assert len({*meaning.values()}) == len(values)
    if classes > 1:
        assert all(meaning[value] == value for value in values if value <= classes)
        assert all(meaning[value] > classes for value in values if value > classes)
    else:
        assert sorted(meaning.values()) == [*range(1, len(values) + 1)]


@given(VALUES, st.integers(1, 4))
def test_nothing_is_guessed_where_labels_are_no_classes(values: frozenset[int], classes: int) -> None:
    is_clear = len(values) < 2 if classes == 1 else max(values, default=0) <= classes
    if is_clear:
        assert max(classes_for(values, None, classes).values(), default=1) <= classes
    else:
        with pytest.raises(LabelsNeeded) as told:
            classes_for(values, None, classes)
        assert told.value.values == tuple(sorted(values))


def test_all_labels_or_one_of_them() -> None:
    mask = np.array([[0, 3, 7], [7, 9, 0]], np.uint16)
    values = values_in(mask)
    assert as_classes(mask, classes_for(values, "all")).tolist() == [[0, 1, 1], [1, 1, 0]]
    assert as_classes(mask, classes_for(values, 7)).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert as_classes(mask, classes_for(values, "each")).tolist() == [[0, 1, 2], [2, 3, 0]]
    with pytest.raises(InputError, match=r"No mask holds the label 4; they hold 3, 7 and 9\."):
        classes_for(values, 4)


def test_objects_and_pixels_that_nobody_annotated_are_told_from_classes() -> None:
    with pytest.raises(LabelsNeeded, match=r"hold 200 labels, as where each object has a number of its own"):
        classes_for(range(1, 201), None)
    with pytest.raises(LabelsNeeded, match=r"255 often marks pixels that nobody has annotated"):
        classes_for([1, 255], None)
    with pytest.raises(InputError, match=rf"A model has at most {MOST_CLASSES}\. Learn all as one\."):
        classes_for(range(1, 201), "each")
