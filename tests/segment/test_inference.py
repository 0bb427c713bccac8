"""The quick way to look at images against the plain one."""

import copy

import numpy as np
import pytest
import torch

from napari_wavegms.learn.metrics import dice
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.registry import resolve
from napari_wavegms.samples import ultrasound_phantom
from napari_wavegms.segment.preprocessing import Preprocessing, prepare
from napari_wavegms.segment.segmenter import Inference


@pytest.fixture(scope="module")
def network():
    return load_checkpoint(resolve("default"))[0]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    phantoms = (ultrasound_phantom(seed).image for seed in range(2))
    return torch.from_numpy(np.stack([prepare(image, Preprocessing(size=112)).pixels for image in phantoms]))


@pytest.fixture(scope="module")
def plain(network, images):
    codec = load_codec()
    with torch.no_grad():
        prediction = network(images)
        return codec.decode(prediction.mask.out), prediction.mask.out


def test_in_float32_it_is_the_network_itself(network, images, plain):
    quick = Inference(network, load_codec(), "cpu", bfloat16=False)
    probability, mask_latents = plain
    assert torch.equal(quick.predict(images), probability)
    assert torch.equal(quick.mask_latents(images), mask_latents)


def test_in_bfloat16_the_masks_are_the_same_but_for_pixels_on_the_edge(network, images, plain):
    quick = Inference(network, load_codec(), "cpu", bfloat16=True).predict(images)
    probability, _ = plain
    assert quick.dtype == torch.float32
    agreement = [dice(a, b) for a, b in zip(quick.numpy() >= 0.5, probability.numpy() >= 0.5, strict=True)]
    assert min(agreement) > 0.98
    assert np.mean(agreement) > 0.99


@pytest.mark.parametrize("bfloat16", [False, True])
def test_an_image_is_seen_alike_alone_and_among_others(network, images, bfloat16):
    quick = Inference(network, load_codec(), "cpu", bfloat16=bfloat16)
    together, alone = quick.predict(images)[1], quick.predict(images[1:2])[0]
    assert dice(together.numpy() >= 0.5, alone.numpy() >= 0.5) > 0.98
    assert torch.equal(alone, quick.predict(images[1:2])[0])


def test_the_network_itself_stays_as_it_is(network):
    before = copy.deepcopy(network.state_dict())
    Inference(network, load_codec(), "cpu", bfloat16=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert next(network.parameters()).dtype == torch.float32
