"""`wavegms corrections` and `wavegms export-masks`: what was approved is listed, taken out, checked and forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.files.reading import read_image, read_mask_details
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import EditTarget
from napari_wavegms.learn.pairs import load_pairs
from napari_wavegms.storage.content_hash import content_hash

Run = Callable[..., Any]
MASK = np.kron(np.eye(2, dtype=np.uint8), np.ones((10, 12), np.uint8))


def picture(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 255, MASK.shape, np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    """Two approved masks from a folder of a ward."""
    store = CorrectionStore()
    ward = tmp_path / "ward 7" / "Miller"
    ward.mkdir(parents=True)
    for number in range(2):
        Image.fromarray(picture(number)).save(ward / f"scan{number}.png")
        store.approve(
            Approval(
                name=f"scan{number}",
                image=picture(number),
                mask=MASK + number * (MASK > 0),
                prediction=np.zeros_like(MASK),
                source=str(ward / f"scan{number}.png"),
                spacing=Spacing((0.5, 0.5), "mm"),
                model="generalist",
                threshold=0.5,
                editor="ann",
            )
        )
    return store


@pytest.mark.usefixtures("store")
def test_the_list_has_a_line_for_each(wavegms: Run) -> None:
    said = wavegms("corrections", "list")
    assert said.code == 0
    assert "scan0" in said.out.splitlines()[0]
    assert "20 x 24  50.0 % labelled, 50.0 % changed" in said.out
    assert [one["name"] for one in json.loads(wavegms("corrections", "list", "--json").out)] == ["scan0", "scan1"]
    assert wavegms("corrections").code == 2


@pytest.mark.usefixtures("store")
def test_an_export_tells_no_folder_no_person_and_no_hash(wavegms: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert wavegms("corrections", "export", out).code == 0
    assert [pair.name for pair in load_pairs(out / "images", out / "masks")] == ["scan0", "scan1"]
    content = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    for secret in (b"ward 7", b"Miller", b"ann", content_hash(picture(0)).encode()):
        assert secret not in content
    assert wavegms("corrections", "export", out).code == 2  # it overwrites nothing
    assert wavegms("corrections", "export", tmp_path / "named", "--keep-names").code == 0
    assert "ward 7" in (tmp_path / "named" / "corrections.jsonl").read_text("utf-8")
    assert '"editor": "ann"' in (tmp_path / "named" / "corrections.jsonl").read_text("utf-8")


def test_what_is_forgotten_is_gone_and_the_rest_is_intact(wavegms: Run, store: CorrectionStore) -> None:
    journal = Journal(store.folder)
    image = content_hash(picture(0))
    journal.begin(EditTarget(image, "scan0", MASK.shape), MASK, editor="ann")
    journal.record(image, MASK * 2, editor="ann")
    journal.release()
    said = wavegms("corrections", "forget", "scan0")
    assert said.code == 0
    assert "Forgotten: scan0, with its image and the pixels of its edits." in said.out
    assert [one.name for one in store.history()] == ["scan1"]
    assert content_hash(picture(0)) not in {path.name.split(".")[0] for path in store.folder.rglob("*.npy.gz")}
    with store.database.read() as connection:
        pixels = connection.execute("SELECT count(*) FROM journal WHERE pixels IS NOT NULL").fetchone()
    assert pixels == (0,)
    assert Journal(store.folder).unfinished() == []
    assert wavegms("corrections", "verify").code == 0
    np.testing.assert_array_equal(store.load(store.corrections()[0]).mask, MASK * 2)
    missing = wavegms("corrections", "forget", "scan0")
    assert (missing.code, "There is no correction 'scan0'." in missing.err) == (2, True)


def test_damage_is_found(wavegms: Run, store: CorrectionStore) -> None:
    said = wavegms("corrections", "verify")
    assert (said.code, "2 corrections" in said.out) == (0, True)
    damaged = next(iter(store.folder.rglob(f"{content_hash(picture(1))}.npy.gz")))
    damaged.write_bytes(damaged.read_bytes()[:-20])
    (damaged.parent / f"{'0' * 32}.npy.gz").write_bytes(b"")
    said = wavegms("corrections", "verify")
    assert said.code == 1
    assert "The correction of scan1 cannot be read." in said.err
    assert "1 files in" in said.err
    good = wavegms("corrections", "export", store.folder / "out")  # one never stops the others
    assert (good.code, "1 image with masks" in good.out) == (1, True)


def test_masks_are_exported_under_the_names_of_their_images(
    wavegms: Run, store: CorrectionStore, tmp_path: Path
) -> None:
    folder, out = tmp_path / "ward 7" / "Miller", tmp_path / "out"
    Image.fromarray(picture(9)).save(folder / "other.png")
    said = wavegms("export-masks", folder, "--output", out)
    assert said.code == 0
    assert "other.png has no approved mask." in said.err
    assert sorted(path.name for path in out.iterdir()) == ["scan0_mask.tiff", "scan1_mask.tiff"]
    details = read_mask_details(out / "scan1_mask.tiff")
    np.testing.assert_array_equal(details.labels, MASK * 2)
    assert details.provenance is not None
    assert (details.provenance.source, details.provenance.editor) == ("scan1.png", None)
    said = wavegms("export-masks", "--output", out)  # without images: all that is approved
    assert "Kept 2 masks that exist already" in said.err
    store.withdraw(content_hash(picture(0)))
    assert "1 mask in" in wavegms("export-masks", "--output", tmp_path / "approved").out
    assert "2 masks in" in wavegms("export-masks", "--output", tmp_path / "all", "--all", "--format", "png").out


def test_planes_of_a_stack_are_exported_as_one(wavegms: Run, tmp_path: Path) -> None:
    stack = np.stack([picture(number) for number in range(3)])
    tifffile.imwrite(tmp_path / "cine.tif", stack, photometric="minisblack", metadata={"axes": "TYX"})
    store = CorrectionStore()
    store.approve(Approval(name="cine", image=stack[1], mask=MASK, source=str(tmp_path / "cine.tif"), plane=(1,)))
    assert wavegms("export-masks", tmp_path / "cine.tif", "--output", tmp_path / "out").code == 0
    labels = read_mask_details(tmp_path / "out" / "cine_mask.tiff").labels
    np.testing.assert_array_equal(labels, np.stack([MASK * 0, MASK, MASK * 0]))
    assert read_image(tmp_path / "cine.tif").pixels.shape == labels.shape
