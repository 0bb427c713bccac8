"""Of what was approved long ago the story stays and the pixels go; of everything else, every pixel stays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore, approved_mask
from napari_wavegms.errors import InputError
from napari_wavegms.journal.compaction import compact
from napari_wavegms.journal.export import export_csv
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import EditTarget
from napari_wavegms.storage.content_hash import content_hash

SHAPE = (120, 150)
PLANES = [((slice(None),) * 2, (slice(None),) * 2)]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "home")


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


def pixels(journal: Journal) -> list[bytes | None]:
    with journal.database.read() as connection:
        return [data for (data,) in connection.execute("SELECT pixels FROM journal ORDER BY id")]


def kinds(journal: Journal) -> list[str]:
    with journal.database.read() as connection:
        return [kind for (kind,) in connection.execute("SELECT kind FROM journal ORDER BY id")]


def table(journal: Journal, path: Path) -> str:
    export_csv(journal, path)
    return path.read_text(encoding="utf-8")


def test_the_story_stays_to_the_letter_and_the_file_shrinks(
    journal: Journal, store: CorrectionStore, image: np.ndarray, edit: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    mask, content = edit(), content_hash(image)
    keep(store, image, mask)
    file = journal.database.path
    edits, rows, size = journal.edits(content), table(journal, tmp_path / "a.csv"), file.stat().st_size
    other_window = Journal(journal.database.folder)
    other_window.begin(EditTarget(content, "scan_1", SHAPE), mask, editor="Bea")
    assert list(compact(journal, store, days=-1)) == [content]
    assert not any(pixels(journal))
    assert file.stat().st_size < size
    for reader in (journal, other_window, Journal(journal.database.folder)):
        assert reader.edits(content) == edits
        assert reader.verify(content) == []
    assert table(journal, tmp_path / "b.csv") == rows
    assert list(compact(journal, store, days=-1)) == []
    with pytest.raises(InputError, match="The mask itself is kept"):
        Journal(journal.database.folder).restore(content)


def test_who_goes_on_with_an_approved_mask_loses_nothing(
    journal: Journal, store: CorrectionStore, image: np.ndarray, edit: Callable[..., np.ndarray]
) -> None:
    mask, content = edit(), content_hash(image)
    keep(store, image, mask)
    list(compact(journal, store, days=-1))
    assert np.array_equal(approved_mask(image, PLANES, SHAPE, store), mask)
    store.withdraw(content, "Ann")
    fresh = Journal(journal.database.folder)
    assert fresh.last_mask(content) is None
    assert np.array_equal(approved_mask(image, PLANES, SHAPE, store, former=True), mask)
    fresh.begin(EditTarget(content, "scan_1", SHAPE), mask, editor="Ann")
    mask = mask.copy()
    mask[3, 4] = 9
    edited = fresh.record(content, mask, editor="Ann")
    assert edited is not None
    assert edited.number == 7
    assert np.array_equal(Journal(journal.database.folder).restore(content), mask)
    assert np.array_equal(fresh.last_mask(content), mask)
    assert fresh.verify(content) == []


@pytest.mark.parametrize("why", ["not approved", "recent", "withdrawn", "unfinished", "edited since", "damaged"])
def test_all_pixels_stay(
    journal: Journal, store: CorrectionStore, image: np.ndarray, edit: Callable[..., np.ndarray], why: str
) -> None:
    mask, content = edit(how="saved" if why == "not approved" else "approved"), content_hash(image)
    if why != "not approved":
        keep(store, image, mask)
    if why == "withdrawn":
        store.withdraw(content, "Ann")
    if why in ("unfinished", "edited since"):
        mask = edit(1, how="" if why == "unfinished" else "saved")
    if why == "damaged":
        with journal.database.write("not damaged") as connection:
            connection.execute("UPDATE journal SET record = replace(record, '\"added\":', '\"added\":1')")
    before = pixels(journal)
    assert list(compact(journal, store, days=1 if why == "recent" else -1)) == []
    assert pixels(journal) == before
    assert all(data is not None or kind == "close" for data, kind in zip(before, kinds(journal), strict=True))
    if why != "damaged":
        assert np.array_equal(Journal(journal.database.folder).restore(content), mask)


def test_a_journal_that_became_smaller_notices_what_is_lost_all_the_same(
    journal: Journal, store: CorrectionStore, image: np.ndarray, edit: Callable[..., np.ndarray]
) -> None:
    mask, content = edit(), content_hash(image)
    keep(store, image, mask)
    assert list(compact(journal, store, days=-1)) == [content]
    edit(1)
    assert journal.verify(content) == []
    with journal.database.write("not damaged") as connection:
        connection.execute("UPDATE journal SET pixels = NULL WHERE number = 8")
    (sentence,) = journal.verify(content)
    assert sentence.startswith("Edit 8 of scan_1")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_disk_that_refuses_leaves_the_journal_as_it_was(
    journal: Journal, store: CorrectionStore, image: np.ndarray, edit: Callable[..., np.ndarray]
) -> None:
    import resource

    mask, content = edit(), content_hash(image)
    keep(store, image, mask)
    before, limits = pixels(journal), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        assert list(compact(journal, store, days=-1)) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert pixels(journal) == before
    assert np.array_equal(Journal(journal.database.folder).restore(content), mask)
