"""Evaluation: the scores of the metrics, the JSON of the documentation, and undefined distances kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_wavegms.errors import InputError
from napari_wavegms.learn.evaluate import ImageScored, Report, evaluate
from napari_wavegms.learn.metrics import dice, iou
from napari_wavegms.learn.pairs import Pair, load_pairs
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.segment.preprocessing import prepare_mask
from napari_wavegms.segment.segmenter import Segmenter


def test_each_image_is_scored_in_the_working_frame() -> None:
    torch.manual_seed(0)
    card = ModelCard(name="tiny", preprocessing={"size": 32, "aspect": "squash", "percentiles": [0.1, 99.9]})
    segmenter = Segmenter(WaveGMS(), card, load_codec(), choose_device("cpu"))
    rng = np.random.default_rng(0)
    pairs = [Pair(f"p{i}", rng.integers(0, 256, (40, 50), np.uint8), rng.random((40, 50)) > 0.5) for i in range(2)]
    events: list[ImageScored] = []
    report = evaluate(segmenter, pairs, on_event=events.append)
    assert [(event.name, event.number, event.total) for event in events] == [("p0", 1, 2), ("p1", 2, 2)]
    predicted = segmenter.frame_probability(pairs[1].image) >= 0.5
    truth = prepare_mask(pairs[1].mask, segmenter.preprocessing)
    assert predicted.shape == (32, 32)
    assert (events[1].dsc, events[1].iou) == (dice(predicted, truth), iou(predicted, truth))
    assert report.images == tuple(events)


def test_an_undefined_distance_is_counted_and_not_averaged() -> None:
    report = Report(
        (
            ImageScored("a", 0.5, 0.25, 4.0, 1, 3),
            ImageScored("b", 0.0, 0.0, None, 2, 3),
            ImageScored("c", 1.0, 1.0, 0.0, 3, 3),
        )
    )
    assert report.as_dict() == {
        "n": 3,
        "dsc": 0.5,
        "iou": pytest.approx(1.25 / 3),
        "hd95": 2.0,
        "hd95_undefined": 1,
        "images": [
            {"name": "a", "dsc": 0.5, "iou": 0.25, "hd95": 4.0},
            {"name": "b", "dsc": 0.0, "iou": 0.0, "hd95": None},
            {"name": "c", "dsc": 1.0, "iou": 1.0, "hd95": 0.0},
        ],
    }
    assert Report((ImageScored("b", 0.0, 0.0, None, 1, 1),)).hd95 is None


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i, stem in enumerate("abc"):
        Image.fromarray(np.full((4, 5, 3), 40 * i, np.uint8)).save(tmp_path / "images" / f"{stem}.jpg")
        Image.fromarray(np.full((4, 5), 255, np.uint8)).save(tmp_path / "masks" / f"{stem}.png")
    (tmp_path / "split.json").write_text(json.dumps({"train": ["c", "a"], "val": ["z"], "note": "text"}))
    return tmp_path


def test_pairs_are_read_by_stem_and_by_split(folders: Path) -> None:
    pairs = load_pairs(folders / "images", folders / "masks")
    assert [pair.name for pair in pairs] == ["a", "b", "c"]
    assert pairs[0].image.shape == (4, 5, 3)
    assert pairs[0].mask.max() == 1
    chosen = load_pairs(folders / "images", folders / "masks", folders / "split.json", "train")
    assert [pair.name for pair in chosen] == ["c", "a"]


@pytest.mark.parametrize(
    ("subset", "sentence"),
    [("val", "names z, of which"), ("test", "has no subset 'test'; it has train, val"), ("note", "no subset 'note'")],
)
def test_a_split_that_does_not_fit(folders: Path, subset: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_pairs(folders / "images", folders / "masks", folders / "split.json", subset)


@pytest.mark.parametrize("text", ["", "[1, 2]", "{"])
def test_a_split_that_is_none(folders: Path, text: str) -> None:
    (folders / "split.json").write_text(text)
    with pytest.raises(InputError, match="cannot be read as a split"):
        load_pairs(folders / "images", folders / "masks", folders / "split.json", "train")
