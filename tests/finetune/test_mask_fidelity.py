"""Can the model draw this: large plain shapes yes, specks and hairs no."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.mask_fidelity import CANNOT_DRAW, fidelity_sentence, roundtrip_dice
from napari_wavegms.learn.metrics import dice
from napari_wavegms.model.codec import MaskCodec
from napari_wavegms.segment.preprocessing import Preprocessing

RULES = Preprocessing(size=64)


@pytest.fixture(scope="module")
def codec() -> MaskCodec:
    return MaskCodec.from_file()


def disc(shape: tuple[int, int], radius: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    return (np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) < radius).astype(np.uint8)


@pytest.mark.parametrize("rules", [RULES, Preprocessing(size=64, aspect="letterbox")])
def test_a_large_disc_survives(codec: MaskCodec, rules: Preprocessing) -> None:
    assert roundtrip_dice(disc((90, 120), 30), codec, rules) > CANNOT_DRAW


def test_hairs_do_not_survive_and_a_larger_frame_helps(codec: MaskCodec) -> None:
    hairs = np.zeros((224, 224), np.uint8)
    hairs[::16, 20:200] = 1
    small, large = roundtrip_dice(hairs, codec, RULES), roundtrip_dice(hairs, codec, Preprocessing(size=224))
    assert small < large
    assert small < CANNOT_DRAW


def test_in_the_working_frame_it_is_the_codec_alone(codec: MaskCodec) -> None:
    import torch

    mask = disc((64, 64), 12)
    with torch.inference_mode():
        back = codec.decode(codec.encode(torch.from_numpy(mask)[None, None].float()))[0, 0].numpy() >= 0.5
    assert roundtrip_dice(mask, codec, RULES) == pytest.approx(dice(mask, back))


def test_labels_count_alike_and_planes_of_a_stack_count_together(codec: MaskCodec) -> None:
    mask = disc((64, 64), 20)
    alone = roundtrip_dice(mask, codec, RULES)
    assert roundtrip_dice(mask * 3, codec, RULES) == alone
    assert roundtrip_dice(np.stack([mask, mask]), codec, RULES) == pytest.approx(alone)
    assert roundtrip_dice(np.stack([mask, np.zeros_like(mask)]), codec, RULES) == pytest.approx(alone)


def test_an_empty_mask_stays_empty(codec: MaskCodec) -> None:
    assert roundtrip_dice(np.zeros((40, 50), bool), codec, RULES) == 1


def test_a_mask_has_rows_and_columns(codec: MaskCodec) -> None:
    with pytest.raises(InputError, match=r"The mask has shape \(4,\)"):
        roundtrip_dice(np.zeros(4), codec, RULES)


def test_the_sentence_comes_only_when_needed_and_names_the_box() -> None:
    assert fidelity_sentence(CANNOT_DRAW) == ""
    assert "only 80% of it" in fidelity_sentence(0.8)
    assert "Draw a box" in fidelity_sentence(0.8)
