"""Image in, mask out: at the image's own size, always the same, and a sentence for what cannot be segmented."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.files.reading import read_image
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint, save_checkpoint
from napari_wavegms.model.device import choose_device, computes_bfloat16
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import list_models, resolve, shipped
from napari_wavegms.segment.ood import ImageKinds, describe
from napari_wavegms.segment.planes import plan_stack, segment_planes
from napari_wavegms.segment.segmenter import Segmenter, segment_stack
from napari_wavegms.storage.user_data import user_models_folder


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    rules = {"size": 32, "aspect": "squash", "percentiles": [0.1, 99.9]}
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    return save_checkpoint(path, WaveGMS(), ModelCard(name="tiny", preprocessing=rules, threshold=0.4))


@pytest.fixture(scope="module")
def segmenter(model_file: Path) -> Segmenter:
    return Segmenter.from_checkpoint(model_file, device="cpu")


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (40, 60), (33, 7, 3), (20, 30, 4)])
def test_any_image_gets_a_mask_of_its_own_size(segmenter: Segmenter, dtype: str, shape: tuple[int, ...]) -> None:
    image = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    result = segmenter.segment(image)
    assert result.mask.shape == result.probability.shape == shape[:2]
    assert result.mask.dtype == np.uint8
    assert result.probability.dtype == np.float32
    assert 0 <= result.probability.min() <= result.probability.max() <= 1
    assert (result.intensity is None) == (dtype in ("bool", "uint8"))


def test_the_same_image_gives_the_same_mask(segmenter: Segmenter) -> None:
    image = np.random.default_rng(0).random((50, 40))
    first, second = segmenter.segment(image), segmenter.segment(image)
    assert np.array_equal(first.probability, second.probability)


def test_images_of_which_nothing_was_corrected_are_answered_by_the_keeper(shared: Path, tmp_path: Path) -> None:
    def image(data: str) -> np.ndarray:
        return read_image(min((shared / "data" / data / "images").iterdir())).pixels

    polyp, nodule, mole = image("kvasir_seg"), image("busi"), image("isic2017")
    start, card = load_checkpoint(resolve("default"))
    learned = load_checkpoint(resolve("default"))[0]
    with torch.no_grad():
        learned.mapper.heads["out"][2].weight *= 0.5
    kinds = ImageKinds.from_dict(card.familiarity)
    assert kinds is not None
    card = replace(card, familiarity=kinds.with_corrections([describe(polyp), describe(mole)]).as_dict())
    file = save_checkpoint(tmp_path / "learned.safetensors", learned, card, keeper=start)
    alone = replace(card, familiarity={})
    old = save_checkpoint(tmp_path / "old.safetensors", start, alone)
    new = save_checkpoint(tmp_path / "new.safetensors", learned, alone)
    routed, before, after = (Segmenter.from_checkpoint(path, "cpu") for path in (file, old, new))
    for picture, expected in ((polyp, after), (mole, after), (nodule, before)):
        assert np.array_equal(routed.segment(picture).probability, expected.segment(picture).probability)
        assert torch.equal(routed.mask_latents(picture), expected.mask_latents(picture))


def test_a_stack_is_segmented_plane_by_plane(segmenter: Segmenter, model_file: Path) -> None:
    stack = np.random.default_rng(0).random((2, 3, 20, 24))  # time, channel, row, column
    planes: list[int] = []
    result = segment_stack(segmenter, stack, axis_labels="tcyx", channel=1, on_event=lambda p: planes.append(p.number))
    assert planes == [1, 2]
    np.testing.assert_array_equal(result.probability, [segmenter.segment(plane).probability for plane in stack[:, 1]])
    np.testing.assert_array_equal(result.mask, result.probability >= 0.4)
    assert segment_stack(model_file, stack[0, :1], threshold=0.1).threshold == 0.1
    with pytest.raises(InputError, match="3 channels"):
        segment_stack(segmenter, stack, axis_labels="tcyx")


def test_a_rule_of_the_volume_is_one_window_for_all_planes_of_a_stack(segmenter: Segmenter) -> None:
    stack = np.random.default_rng(3).normal(0, 1, (3, 24, 30)) * np.array([1, 3, 9])[:, None, None]
    of_volume, windowed = copy(segmenter), copy(segmenter)
    of_volume.preprocessing = segmenter.preprocessing.with_window("volume")
    low, high = np.percentile(stack, (0.1, 99.9))
    windowed.preprocessing = segmenter.preprocessing.with_window((low, high))
    found = segment_stack(of_volume, stack, axis_labels="zyx").probability
    np.testing.assert_array_equal(found, [windowed.segment(plane).probability for plane in stack])
    plan = plan_stack(stack.shape, stack.dtype, rgb=False, current=(1, 0, 0))
    (one,) = segment_planes(of_volume, stack, plan)
    np.testing.assert_array_equal(one.segmentation.probability, found[1])
    # A plane that is learned later, without its volume, needs the range; one that the card says need not be told.
    assert (segmenter.window, one.window) == (None, (low, high))
    assert segmenter.with_window((low, high)).window == (low, high)


def test_threshold_comes_from_the_card_and_may_be_moved_without_the_network(segmenter: Segmenter) -> None:
    image = np.random.default_rng(1).random((50, 40))
    result = segmenter.segment(image)
    assert result.threshold == 0.4
    moved = result.at(0.6)
    assert np.array_equal(moved.mask, result.probability >= 0.6)
    assert np.array_equal(moved.mask, segmenter.segment(image, threshold=0.6).mask)


@pytest.mark.parametrize(
    "image", [np.full((9, 9), np.nan), np.full((9, 9), np.inf), np.zeros((9, 9)), np.full((9, 9), 7, np.uint8)]
)
def test_constant_and_senseless_images_are_no_error(segmenter: Segmenter, image: np.ndarray) -> None:
    assert segmenter.segment(image).mask.shape == (9, 9)


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 3), (9, 9, 4)])
@pytest.mark.parametrize("value", [0, 7, 255, np.nan, -1e30])
def test_where_all_pixels_are_alike_there_is_nothing_to_segment(
    segmenter: Segmenter, shape: tuple[int, ...], value: float
) -> None:
    image = np.full(shape, value, np.uint8 if value in (0, 7, 255) else np.float32)
    if len(shape) == 3:
        image[..., :3] *= np.array([1, 0, 1], image.dtype)  # one colour all over
        image[..., 3:] = 255 if image.dtype == np.uint8 else 1  # opaque; what is transparent lies over black
    result = segmenter.segment(image)
    assert result.is_uniform
    assert not result.probability.any()
    image.reshape(9, 9, -1)[4, 4, :3] = 3
    assert not segmenter.segment(image).is_uniform


def test_a_stack_is_uniform_where_each_of_its_planes_is(segmenter: Segmenter) -> None:
    stack = np.broadcast_to(np.arange(3, dtype=np.uint8)[:, None, None], (3, 8, 9)).copy()
    assert segment_stack(segmenter, stack).is_uniform
    stack[1, 0, 0] = 9
    assert not segment_stack(segmenter, stack).is_uniform


def test_what_cannot_be_segmented(segmenter: Segmenter) -> None:
    with pytest.raises(InputError, match="2 channels"):
        segmenter.segment(np.zeros((9, 9, 2)))
    with pytest.raises(InputError, match="threshold"):
        segmenter.segment(np.zeros((9, 9)), threshold=1.5)


def test_weights_that_are_not_numbers_are_found_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = WaveGMS()
    torch.nn.init.constant_(model.mapper.stem.bias, float("nan"))
    path = save_checkpoint(tmp_path / "broken.safetensors", model, ModelCard(name="broken"))
    with pytest.raises(CheckpointError, match="its weights are damaged"):
        Segmenter.from_checkpoint(path, device="cpu").segment(np.zeros((9, 9), np.uint8))


def test_models_are_found_by_name_and_by_file(model_file: Path) -> None:
    assert resolve(model_file) == model_file
    folder = user_models_folder()
    folder.mkdir(parents=True)
    (folder / "mine.safetensors").write_bytes(model_file.read_bytes())
    (folder / "broken.safetensors").write_bytes(b"nonsense")
    assert resolve("mine") == folder / "mine.safetensors"
    names = [entry.name for entry in list_models()]
    assert "mine" in names
    assert "broken" not in names
    assert resolve("default") in shipped().values()


def test_an_unknown_model_is_told_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"no model 'nothing'\. Choose one of default"):
        resolve("nothing")


def test_devices_come_with_their_reason() -> None:
    assert choose_device("cpu").reason == "the processor (chosen)"
    chosen = choose_device("auto")
    assert chosen.name in ("cpu", "cuda", "mps")
    assert "GPU" in chosen.reason or "NVIDIA" in chosen.reason
    with pytest.raises(InputError, match="no device 'tpu'"):
        choose_device("tpu")
    assert not computes_bfloat16("mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_here() -> None:
    with pytest.raises(InputError, match=r"'cuda' is not available \(no .*\)\. Choose auto or cpu"):
        choose_device("cuda")
