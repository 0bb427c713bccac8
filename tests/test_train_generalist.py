"""The generalist's recipe: what belongs together is not divided, tasks are told apart, a run can be cut anywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from napari_wavegms.model.card import ModelCard, read_card
from napari_wavegms.model.checkpoint import load_checkpoint, load_keeper, rewrite_card, save_checkpoint
from napari_wavegms.model.codec import Taesd, load_codec
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.registry import resolve


def write_set(folder: Path, names: list[str], classes: int = 1) -> None:
    """Noisy images with a bright square for each class."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        mask = np.zeros((60, 80), np.uint8)
        for label in range(1, classes + 1):
            mask[20:40, 20 * label : 20 * label + 12] = label if classes > 1 else 255
        image = np.where(mask > 0, 200, rng.integers(0, 90, mask.shape)).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")


def test_a_patient_is_on_one_side_and_so_is_a_copy(recipe: Any, tmp_path: Path) -> None:
    atlas = recipe("atlas")
    names = [f"{patient}_{number}" for patient in range(8) for number in range(3)]
    write_set(tmp_path, [*names, "8_0"])
    images = tmp_path / "images"
    copied = Image.open(images / "2_1.png").point(lambda value: min(255, value + 3))
    copied.save(images / "8_0.png")
    files = sorted(images.iterdir())
    groups = atlas.grouped(files, r"^(\d+)_")
    by_name = {file.stem: group for file, group in zip(files, groups, strict=True)}
    assert len(set(groups)) == 8
    assert by_name["8_0"] == by_name["2_0"] == by_name["2_1"]
    train, val = atlas.divided(files, tmp_path / "split.json", atlas.Source("test", "", group=r"^(\d+)_"))
    sides = [{by_name[file.stem] for file in part} for part in (train, val)]
    assert not sides[0] & sides[1]
    assert len(train) + len(val) == len(files)
    assert 0.12 * len(files) <= len(val) <= 0.3 * len(files)


def test_a_copy_of_a_val_image_is_learned_by_nobody(recipe: Any, tmp_path: Path) -> None:
    atlas = recipe("atlas")
    write_set(tmp_path, ["a", "b", "c"])
    Image.open(tmp_path / "images" / "b.png").save(tmp_path / "images" / "c.png")
    (tmp_path / "split.json").write_text(json.dumps({"train": ["a", "b"], "val": ["c"]}))
    train, val = atlas.divided(sorted((tmp_path / "images").iterdir()), tmp_path / "split.json", atlas.SOURCES[0])
    assert [[file.stem for file in part] for part in (train, val)] == [["a"], ["c"]]


def test_only_sets_that_may_ship_are_learned(recipe: Any, shared: Path) -> None:
    atlas = recipe("atlas")
    rows = [line.split(" | ") for line in (shared / "data" / "atlas" / "README.md").read_text().splitlines()]
    may = {row[0].removeprefix("| ") for row in rows if len(row) > 4 and row[4] == "yes"}
    assert {source.name for source in atlas.SOURCES} == may | {"busi", "isic2017"}
    assert all(source.terms in {"CC0", "CC-0", "CC BY 4.0"} for source in atlas.SOURCES)


def test_one_image_is_asked_for_all_of_its_classes_or_for_one(recipe: Any) -> None:
    module, atlas = recipe("draws"), recipe("atlas")
    spine, prostate, skin = (
        next(source for source in atlas.SOURCES if source.name.startswith(name)) for name in ("spid", "ring", "isic")
    )
    rng = np.random.default_rng(0)
    drawn = [module.chosen_task(spine, (1, 3), rng) for _ in range(200)]
    assert {asked for _, asked in drawn} == {None, 1, 3}
    assert {task for task, asked in drawn if asked is None} == {-1}
    assert {atlas.TASKS[task] for task, asked in drawn if asked == 3} == {"spine: disc"}
    assert 0.4 < np.mean([asked is None for _, asked in drawn]) < 0.6
    assert {module.chosen_task(skin, (1,), rng) for _ in range(9)} == {(-1, None)}
    only = {module.chosen_task(prostate, (2,), rng) for _ in range(9)}
    assert only == {(atlas.TASKS.index("prostate: tumour glands"), 2)}, "its other glands are not marked"
    assert {module.chosen_task(prostate, (1,), rng) for _ in range(9)} == {(-1, None)}


@pytest.mark.parametrize("ultrasound", [False, True])
def test_views_keep_their_frame_and_range_and_follow_the_seed(recipe: Any, ultrasound: bool) -> None:
    views = recipe("strong_views")
    labels = torch.zeros(64, 64, dtype=torch.uint8)
    labels[20:40, 10:50] = 2
    image = 0.5 * (labels > 0).float().expand(3, 64, 64) + 0.2
    for seed in range(40):
        one, again = (
            views.view(
                image,
                labels,
                np.random.default_rng(seed),
                views.Strength(),
                upright=ultrasound,
                ultrasound=ultrasound,
                size=32,
            )
            for _ in range(2)
        )
        assert one[0].shape == (3, 32, 32)
        assert one[1].shape == (32, 32)
        assert 0 <= one[0].min() <= one[0].max() <= 1
        assert set(one[1].unique().tolist()) <= {0, 2}
        assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))


def test_what_stands_upright_is_not_turned_over(recipe: Any) -> None:
    views = recipe("strong_views")
    labels = torch.zeros(32, 32, dtype=torch.uint8)
    labels[2:6, 4:28] = 1
    image = labels.float().expand(3, 32, 32)
    strength = replace(views.Strength(), shift=0, margins=0, zoom=0)
    for seed in range(30):
        kinds = {"upright": True, "ultrasound": True, "size": 32}
        _, seen = views.view(image, labels, np.random.default_rng(seed), strength, **kinds)
        assert torch.nonzero(seen)[:, 0].float().mean() < 12


def test_a_run_goes_on_from_its_folder_and_from_the_averaged_weights(
    recipe: Any, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = recipe("train_generalist")
    small = tuple(replace(stage, batch=1, sizes={64: 1.0}) for stage in module.STAGES)  # kernels of one shape
    monkeypatch.setattr(module, "STAGES", small)
    monkeypatch.setattr(module, "SIDE", 64)
    write_set(tmp_path / "data" / "spider_spine_mri", [f"{number}_1" for number in range(4)], classes=3)
    words = ["--data", str(tmp_path / "data"), "--taesd", str(shared / "weights" / "taesd")]
    words += ["--sets", "spider_spine_mri", "--steps", "1", "--val", "1"]
    first, second = tmp_path / "first", tmp_path / "second"
    for _ in range(2):
        module.main([*words, "--run", str(first)])
    averaged = first / "averaged.safetensors"
    card = read_card(averaged)
    assert card.lineage[-1]["step"] == 2
    assert card.lineage[-1]["stage"] == "align"
    # Far on, where everything learns; the folder of the run is lost, and what was kept lies in two files.
    later = replace(card, lineage=({**card.lineage[-1], "step": 10**6},))
    rewrite_card(averaged, later)
    kept = tmp_path / "kept.safetensors"
    recipe("parts").main([str(averaged), "--output", str(kept)])
    assert all(part.stat().st_size < 6e6 for part in (kept, tmp_path / "kept-trunk.safetensors"))
    module.main([*words, "--run", str(second), "--start", str(kept)])
    card = read_card(second / "averaged.safetensors")
    assert (card.lineage[-1]["step"], card.lineage[-1]["stage"]) == (10**6 + 1, "full")
    assert 0 <= card.scores["spider_spine_mri"]["dsc"] <= 1
    before, after = (load_checkpoint(file)[0] for file in (averaged, second / "averaged.safetensors"))
    assert not torch.equal(before.mapper.stem.weight, after.mapper.stem.weight)
    assert card.parameters == 3_301_580, "the trunk's are among them"
    log = [json.loads(line) for line in (second / "log.jsonl").read_text().splitlines()]
    assert log[0]["start"] == str(kept)


def test_a_run_begins_where_a_model_without_context_stands(recipe: Any, shared: Path, tmp_path: Path) -> None:
    module = recipe("train_generalist")
    data = module.Data({})
    teacher = Taesd.from_file(shared / "weights" / "taesd")
    trainer = module.Trainer(data, load_codec(), teacher, 0, module.Strength())
    start, card = load_checkpoint(resolve("skin-lesion"))
    trainer.begin_with(resolve("skin-lesion"))
    assert trainer.progress.stage()[0].name == "full"
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = start.eval()(image).mask.out
        for network in (trainer.model, trainer.averaged):
            assert torch.equal(network.eval()(image).mask.out, expected), "the context starts at zero"
    assert trainer.card().lineage[:-1] == card.lineage


def test_a_network_without_context_stays_what_it_is_beside_one_whose_trunk_learned(recipe: Any, tmp_path: Path) -> None:
    module = recipe("average")
    torch.manual_seed(0)
    plain, tuned = WaveGMS().eval(), WaveGMS(own_trunk=True).eval()
    torch.nn.init.normal_(tuned.mapper.context.weight, std=0.01)
    with torch.no_grad():
        tuned.trunk.stem_bias += 0.1
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    same = module.with_weights_of(plain, tuned)
    file = save_checkpoint(tmp_path / "two.safetensors", tuned, ModelCard(name="two"), keeper=same)
    keeper = load_keeper(file)
    with torch.inference_mode():
        assert torch.equal(keeper(image).mask.out, plain(image).mask.out)
    assert not any("trunk" in name for name in load_file(file) if name.startswith("keeper.")), "one trunk is enough"
    mean = module.mean([plain, tuned])
    assert torch.equal(mean.mapper.context.weight, tuned.mapper.context.weight / 2)
    assert torch.allclose(mean.trunk.stem_bias, tuned.trunk.stem_bias - 0.05)
