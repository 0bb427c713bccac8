"""Of what was approved long ago the story stays and the pixels go; of everything else, every pixel stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.journal.compaction import thin_out
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import EditTarget
from napari_wavegms.journal.recovery import approved, journalled
from napari_wavegms.storage.content_hash import content_hash

SHAPE = (120, 150)
PLANES = [((slice(None),) * 2, (slice(None),) * 2)]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, SHAPE, np.uint8)


@pytest.fixture
def edit(journal: Journal, image: np.ndarray) -> Callable[..., np.ndarray]:
    """Edit the image's mask in several steps, and say how it ended, if it did."""

    def edit(seed: int = 0, how: str = "approved") -> np.ndarray:
        rng, mask = np.random.default_rng(seed), np.zeros(SHAPE, np.uint8)
        content = content_hash(image)
        journal.begin(EditTarget(content, "scan_1", SHAPE), mask, editor="Ann", model="tiny", threshold=0.5)
        for _ in range(6):
            mask = mask.copy()
            mask[rng.random(SHAPE) < 0.3] = rng.integers(1, 4)
            journal.record(content, mask, editor="Ann", model="tiny", threshold=0.5, active_seconds=1.5)
        if how:
            journal.close(content, how)
        return mask

    return edit


def keep(store: CorrectionStore, image: np.ndarray, mask: np.ndarray) -> None:
    store.approve(Approval(name="scan_1", image=image, mask=mask, editor="Ann"))


def table(journal: Journal, path: Path) -> str:
    journal.export_csv(path)
    return path.read_text(encoding="utf-8")


def test_the_story_stays_to_the_letter_and_the_file_shrinks(
    journal: Journal, store: CorrectionStore, image: np.ndarray, edit: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    mask, content = edit(), content_hash(image)
    keep(store, image, mask)
    file = journal.folder / f"{content}.jsonl"
    edits, rows, size = journal.edits(content), table(journal, tmp_path / "a.csv"), file.stat().st_size
    other_window = Journal(journal.folder)
    other_window.begin(EditTarget(content, "scan_1", SHAPE), mask, editor="Bea")  # it has read the whole file
    assert list(thin_out(journal, store, days=-1)) == [content]
    assert file.stat().st_size < size / 3
    for reader in (journal, other_window, Journal(journal.folder)):
        assert reader.edits(content) == edits
        assert reader.verify(content) == []
    assert table(journal, tmp_path / "b.csv") == rows
    assert list(thin_out(journal, store, days=-1)) == []
    with pytest.raises(InputError, match="The mask itself is kept"):
        Journal(journal.folder).restore(content)


def test_who_goes_on_with_an_approved_mask_loses_nothing(
    journal: Journal, store: CorrectionStore, image: np.ndarray, edit: Callable[..., np.ndarray]
) -> None:
    mask, content = edit(), content_hash(image)
    keep(store, image, mask)
    list(thin_out(journal, store, days=-1))
    assert np.array_equal(approved(image, PLANES, SHAPE, store), mask)
    store.withdraw(content, "Ann")
    fresh = Journal(journal.folder)
    assert journalled(content, fresh) is None
    assert np.array_equal(approved(image, PLANES, SHAPE, store, former=True), mask)
    fresh.begin(EditTarget(content, "scan_1", SHAPE), mask, editor="Ann")
    mask = mask.copy()
    mask[3, 4] = 9
    edited = fresh.record(content, mask, editor="Ann")
    assert edited is not None
    assert edited.number == 7
    assert np.array_equal(Journal(journal.folder).restore(content), mask)
    assert np.array_equal(journalled(content, fresh), mask)
    assert fresh.verify(content) == []


@pytest.mark.parametrize("why", ["not approved", "recent", "withdrawn", "unfinished", "edited since", "damaged"])
def test_all_pixels_stay(
    journal: Journal, store: CorrectionStore, image: np.ndarray, edit: Callable[..., np.ndarray], why: str
) -> None:
    mask, content = edit(how="saved" if why == "not approved" else "approved"), content_hash(image)
    file = journal.folder / f"{content}.jsonl"
    if why != "not approved":
        keep(store, image, mask)
    if why == "withdrawn":
        store.withdraw(content, "Ann")
    if why in ("unfinished", "edited since"):
        mask = edit(1, how="" if why == "unfinished" else "saved")
        text = file.read_text()
        if why == "edited since":  # a second later, as the clock of the journal has it
            lines = journal.edits(content)
            assert lines[-1].time >= store.corrections()[0].time
    if why == "damaged":
        text = file.read_text()
        file.write_text(text.replace('"added": ', '"added": 1', 1))
    before = file.read_bytes()
    if why == "edited since":
        kept = store.corrections()[0]
        store.corrections = lambda: [type(kept)(**{**_fields(kept), "time": "2020-01-01T00:00:00+00:00"})]
    assert list(thin_out(journal, store, days=1 if why == "recent" else -1)) == []
    assert file.read_bytes() == before
    if why != "damaged":
        assert np.array_equal(Journal(journal.folder).restore(content), mask)


def _fields(kept: object) -> dict[str, object]:
    return {name: getattr(kept, name) for name in type(kept).__dataclass_fields__}


def test_a_disk_that_refuses_leaves_the_journal_as_it_was(
    journal: Journal,
    store: CorrectionStore,
    image: np.ndarray,
    edit: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask, content = edit(), content_hash(image)
    keep(store, image, mask)
    file = journal.folder / f"{content}.jsonl"
    before = file.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert list(thin_out(journal, store, days=-1)) == []
    assert file.read_bytes() == before
    assert [path.name for path in journal.folder.glob(".*")] == []
    assert np.array_equal(Journal(journal.folder).restore(content), mask)
