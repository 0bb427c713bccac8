"""Model files: what is saved comes back, and every wrong file has its own sentence."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_wavegms.errors import CheckpointError
from napari_wavegms.model.card import FORMAT_VERSION, HEADER_KEY, ModelCard, read_card
from napari_wavegms.model.checkpoint import load_checkpoint, load_keeper, rewrite_card, save_checkpoint
from napari_wavegms.model.network import WaveGMS
from napari_wavegms.model.official import import_official

CARD = ModelCard(name="tiny", title="A test", lineage=({"config": {"epochs": 1}},), scores={"val": {"dsc": 0.5}})


@pytest.fixture(scope="module")
def model() -> WaveGMS:
    torch.manual_seed(0)
    return WaveGMS().eval()


@pytest.fixture
def saved(model: WaveGMS, tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "tiny.safetensors", model, CARD)


def test_weights_and_card_come_back(model: WaveGMS, saved: Path) -> None:
    loaded, card = load_checkpoint(saved)
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert card == replace(CARD, parameters=2_600_668, created=card.created, checksum=card.checksum)
    assert not loaded.training


def test_half_precision_halves_the_file_and_loads_as_float32(model: WaveGMS, saved: Path, tmp_path: Path) -> None:
    half = save_checkpoint(tmp_path / "half.safetensors", model, CARD, half=True)
    assert half.stat().st_size < 0.51 * saved.stat().st_size
    loaded, _ = load_checkpoint(half)
    for ours, theirs in zip(loaded.parameters(), model.parameters(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_card_is_read_without_torch(saved: Path) -> None:
    script = (
        "import sys; from napari_wavegms.model.card import read_card; "
        f"print(read_card({str(saved)!r}).title); assert 'torch' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "A test"


def test_the_state_of_an_unfinished_run_is_no_part_of_the_model(model: WaveGMS, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "last.safetensors", model, CARD, training={"optimiser.0.step": torch.ones(())})
    assert load_checkpoint(path)[1].name == "tiny"


def test_a_file_may_hold_a_second_network(model: WaveGMS, saved: Path, tmp_path: Path) -> None:
    assert load_keeper(saved) is None
    start = load_checkpoint(save_checkpoint(tmp_path / "start.safetensors", model, CARD, half=True))[0]
    learned = load_checkpoint(tmp_path / "start.safetensors")[0]
    with torch.no_grad():
        for parameter in learned.mapper.parameters():
            parameter += 0.1
    file = save_checkpoint(tmp_path / "learned.safetensors", learned, CARD, keeper=start)
    # What was not learned is not written twice, and what a float16 holds takes no more.
    mapper = 4 * sum(parameter.numel() for parameter in learned.mapper.parameters())
    assert file.stat().st_size - saved.stat().st_size == pytest.approx(mapper / 2, rel=0.02)
    rewrite_card(file, replace(CARD, title="Renamed"))
    loaded, card = load_checkpoint(file)
    brought = load_keeper(file)
    assert brought is not None
    assert card.title == "Renamed"
    for found, expected in ((loaded, learned), (brought, start)):
        pairs = zip(found.state_dict().values(), expected.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_a_failed_save_leaves_the_old_file(saved: Path, model: WaveGMS) -> None:
    before = saved.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(saved, model, replace(CARD, scores={"a": object()}))
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    return str(caught.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.safetensors")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 100, 0.3, 0.99])
def test_a_truncated_file(saved: Path, keep: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    assert "truncated" in refusal(saved) or (keep < 8 and "not a .safetensors file" in refusal(saved))


@pytest.mark.parametrize("content", [b"hello, I am a text file\n" * 9, b"\x89PNG\r\n\x1a\n" + bytes(64), bytes(64)])
def test_another_kind_of_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert "not a .safetensors file" in refusal(path)


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert "has no model card" in refusal(tmp_path / "other.safetensors")


def test_a_newer_format(tmp_path: Path) -> None:
    card = CARD.as_dict() | {"format_version": FORMAT_VERSION + 1}
    save_file({"w": torch.zeros(1)}, tmp_path / "new.safetensors", metadata={HEADER_KEY: json.dumps(card)})
    assert f"has format {FORMAT_VERSION + 1}; this version reads up to format {FORMAT_VERSION}." in refusal(
        tmp_path / "new.safetensors"
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"preprocessing": None},
        {"preprocessing": {"size": 224}},
        {"preprocessing": {"size": "large", "aspect": "squash", "percentiles": [0, 1]}},
        {"preprocessing": {"size": 1e30, "aspect": "squash", "percentiles": [0, 1]}},
        {"preprocessing": {"size": 80_000, "aspect": "squash", "percentiles": [0, 1]}},
        {"threshold": 2},
        {"threshold": float("nan")},
        {"format_version": float("inf")},
        {"format_version": "1"},
        {"name": ["\x1b[31m" * 10_000]},
        {"scores": []},
        {"name": 5},
        {"lineage": 5},
    ],
)
def test_a_card_with_senseless_values(tmp_path: Path, damage: dict[str, object]) -> None:
    card = json.dumps(CARD.as_dict() | damage)
    save_file({"w": torch.zeros(1)}, tmp_path / "bad.safetensors", metadata={HEADER_KEY: card})
    said = refusal(tmp_path / "bad.safetensors")
    assert said.startswith("The model card of bad.safetensors is damaged (it")
    assert len(said) < 250
    assert said.isprintable()


@pytest.mark.parametrize("card", ["{", "[]", '{"format_version": 1e999}', '{"scores":' * 99_999 + "1" + "}" * 99_999])
def test_a_damaged_card(tmp_path: Path, card: str) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "bad.safetensors", metadata={HEADER_KEY: card})
    assert "is damaged" in refusal(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("end", ['"x"', "1e999", "null", "[" * 99_999 + "]" * 99_999])
def test_a_damaged_header(tmp_path: Path, end: str) -> None:
    header = f'{{"weight": {{"data_offsets": [0, {end}]}}}}'.encode()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert "its header is damaged" in refusal(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickled_checkpoint_is_never_opened(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model": {}}, path, _use_new_zipfile_serialization=not legacy)
    assert "wavegms import" in refusal(path)


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_a_network_of_another_build(saved: Path, change: str) -> None:
    tensors = load_file(saved)
    if change == "unknown":
        tensors["surplus"] = torch.zeros(1)
    else:
        stem = tensors.pop("mapper.stem.bias")
        if change == "shape":
            tensors["mapper.stem.bias"] = stem[:5].clone()
    save_file(tensors, saved, metadata={HEADER_KEY: json.dumps(CARD.as_dict())})
    told = {
        "missing": "lacks mapper.stem.bias",
        "unknown": "the unknown 'surplus'",
        "shape": r"shape (5,) where (32,) fits",
    }
    assert told[change] in refusal(saved)


def test_a_flipped_bit_is_told_and_a_file_without_a_checksum_loads(saved: Path) -> None:
    data = saved.read_bytes()
    assert re.fullmatch("[0-9a-f]{8}", read_card(saved).checksum)
    for place in (len(data) - 1, len(data) // 2):
        flipped = bytearray(data)
        flipped[place] ^= 1
        saved.write_bytes(flipped)
        assert "is damaged (its weights are not those that were saved)" in refusal(saved)
    saved.write_bytes(flipped.replace(b"checksum", b"unknown."))
    load_checkpoint(saved)


def test_an_official_checkpoint_becomes_a_model(shared: Path, tmp_path: Path) -> None:
    source = shared / "reference" / "wave_gms_official_format.pth"
    card = import_official(source, tmp_path / "imported.safetensors")
    model, loaded = load_checkpoint(tmp_path / "imported.safetensors")
    theirs = torch.load(source, weights_only=True)
    assert loaded == card
    assert torch.equal(model.mapper.stem.weight, theirs["model"]["input_blocks.weight"])
    ours = sum(tensor.double().sum().item() for tensor in model.state_dict().values())
    assert ours == pytest.approx(sum(t.double().sum().item() for part in theirs.values() for t in part.values()))


class Malicious:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)


def test_importing_runs_no_code(tmp_path: Path) -> None:
    torch.save({"model": Malicious(tmp_path / "owned"), "vae_model": {}}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="plain tensors"):
        import_official(tmp_path / "evil.pth", tmp_path / "out.safetensors")
    assert {file.name for file in tmp_path.iterdir()} == {"evil.pth"}


@pytest.mark.parametrize(
    "entry",
    [
        {"x": 1},
        {5: torch.zeros(1)},
        {"\x1b" * 10_000: 1},
        {"x": torch.zeros(2).to_sparse()},
        {"x": torch.zeros(2, dtype=torch.int8)},
        {"x": torch.zeros(2, device="meta")},
        {"x": torch.zeros(1, dtype=torch.float16).expand(10**6, 10**6)},
    ],
)
def test_only_plain_tensors_are_imported(tmp_path: Path, entry: dict[object, object]) -> None:
    torch.save({"model": entry, "vae_model": {}}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="is not a plain tensor of floats"):
        import_official(tmp_path / "odd.pth", tmp_path / "out.safetensors")


def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    file, rng = tmp_path / "damaged.pth", random.Random(3)
    torch.save({"model": {"a": torch.ones(3)}, "vae_model": {}}, file, _use_new_zipfile_serialization=False)
    data = file.read_bytes()
    for _ in range(200):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] = rng.randrange(256)
        file.write_bytes(flipped)
        with pytest.raises(CheckpointError) as told:
            import_official(file, tmp_path / "out.safetensors")
        assert len(str(told.value)) < 600


def test_another_pytorch_checkpoint_is_not_imported(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"the entries \['state_dict'\]; an official"):
        import_official(tmp_path / "other.pth", tmp_path / "out.safetensors")


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_who_may_read_a_file_in_its_folder_may_read_a_model_there(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "plain").touch()
    saved = save_checkpoint(folder / "m.safetensors", WaveGMS(), ModelCard("m"))
    assert saved.stat().st_mode == (folder / "plain").stat().st_mode
    rewrite_card(saved, read_card(saved))
    assert saved.stat().st_mode == (folder / "plain").stat().st_mode
