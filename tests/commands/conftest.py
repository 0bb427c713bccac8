"""A random model that works in small frames, and small pictures with a bright lesion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from napari_wavegms.cli import main

SIDE = 32


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model file with random weights, whose working size is 32 pixels."""
    import torch

    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.model.checkpoint import save_checkpoint
    from napari_wavegms.model.network import WaveGMS

    torch.manual_seed(7)
    card = ModelCard(
        name="tiny",
        title="Random weights",
        preprocessing={"size": SIDE, "aspect": "squash", "percentiles": [0.1, 99.9]},
        scores={"validation": {"dsc": 0.25, "n": 4}},
        data="Nothing",
        terms="CC0",
    )
    return save_checkpoint(tmp_path_factory.mktemp("model") / "tiny.safetensors", WaveGMS(), card)


@dataclass(frozen=True)
class Said:
    """What a command left behind: its exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def wavegms(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return run


def picture(seed: int, shape: tuple[int, int] = (40, 48)) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Grey noise with a bright disc, and the disc as a 0/255 mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    centre = rng.uniform(12, 28, 2)
    mask = np.hypot(rows - centre[0], columns - centre[1]) < 9
    image = rng.integers(20, 90, shape) + 120 * mask
    return image.astype(np.uint8), (255 * mask).astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[int], tuple[Path, Path]]:
    """Make folders of images and masks."""

    def make(count: int) -> tuple[Path, Path]:
        images, masks = tmp_path / "images", tmp_path / "masks"
        for folder in (images, masks):
            folder.mkdir()
        for number in range(count):
            image, mask = picture(number)
            Image.fromarray(image).save(images / f"scan{number}.png")
            Image.fromarray(mask).save(masks / f"scan{number}.png")
        return images, masks

    return make
