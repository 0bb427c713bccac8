"""The store of approved corrections: what was confirmed comes back, whatever happens around it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wavegms.corrections.records import Approval, Correction
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.errors import InputError
from napari_wavegms.files.reading import read_mask_details
from napari_wavegms.files.spacing import Spacing
from napari_wavegms.learn.pairs import load_pairs
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.database import Database


def approval(seed: int = 0, name: str = "polyp", **details: Any) -> Approval:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (6, 8, 3), np.uint8)
    mask = rng.integers(0, 3, (6, 8), np.int64)
    return Approval(name=name, image=image, mask=mask, **details)


def assert_kept(store: CorrectionStore, correction: Correction, wanted: Approval) -> None:
    kept = store.load(correction)
    assert kept.image.dtype == wanted.image.dtype
    np.testing.assert_array_equal(kept.image, wanted.image)
    np.testing.assert_array_equal(kept.mask, wanted.mask)
    if wanted.prediction is None:
        assert kept.prediction is None
    else:
        np.testing.assert_array_equal(kept.prediction, wanted.prediction)


def test_everything_about_a_correction_comes_back(tmp_path: Path) -> None:
    prediction = np.zeros((6, 8), bool)
    wanted = approval(
        name="bénign 12",
        prediction=prediction,
        source="scans/a.tif",
        plane=(3,),
        spacing=Spacing((0.5, 0.25), "mm"),
        model="default",
        threshold=0.4,
        editor="Ann",
        window=(-45.0, 105.0),
    )
    made = CorrectionStore(tmp_path).approve(wanted)
    store = CorrectionStore(tmp_path)
    [found] = store.corrections()
    assert found == made
    assert_kept(store, found, wanted)
    assert found.image == content_hash(wanted.image)
    assert (found.number, found.name, found.group, found.plane) == (1, "bénign 12", "scans/a.tif", (3,))
    assert (found.spacing, found.model, found.threshold, found.editor) == (wanted.spacing, "default", 0.4, "Ann")
    assert found.window == wanted.window
    assert found.changed == found.labelled == np.count_nonzero(wanted.mask)
    assert found.changed_share == found.labelled / 48
    assert datetime.fromisoformat(found.time).utcoffset() == timedelta(0)
    assert store.warnings == ()


def test_a_correction_from_nothing_has_no_prediction_and_is_its_own_group(tmp_path: Path) -> None:
    made = CorrectionStore(tmp_path).approve(approval(source="a.png"))
    assert (made.prediction, made.changed, made.changed_share, made.threshold) == (None, None, None, None)
    assert made.group == made.image


def test_approving_the_same_image_again_supersedes_and_keeps_the_history(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path)
    first, other = store.approve(approval(0)), store.approve(approval(1, "other"))
    again = store.approve(Approval(name="polyp", image=approval(0).image, mask=np.ones((6, 8), bool)))
    assert store.corrections() == [again, other]
    assert store.history() == [first, other, again]
    assert store.history(first.image) == [first, again]
    assert [kept.number for kept in store.history()] == [1, 2, 3]
    assert_kept(store, first, approval(0))
    assert store.find(first.image) == again


def test_an_approval_can_be_taken_back_and_given_again(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path)
    made = store.approve(approval())
    store.withdraw(made.image, editor="Ann")
    assert (store.corrections(), store.history()) == ([], [made])
    with pytest.raises(InputError, match=r"no approved (correction|mask)"):
        store.withdraw(made.image)
    assert store.approve(approval()).number == 2
    assert len(CorrectionStore(tmp_path).corrections()) == 1


def test_names_are_made_unique_and_stay_with_their_image(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path)
    names = [store.approve(approval(seed)).name for seed in (0, 1, 2, 1, 0)]
    assert names == ["polyp", "polyp (2)", "polyp (3)", "polyp (2)", "polyp"]
    store.withdraw(content_hash(approval(0).image))
    assert store.approve(approval(3)).name == "polyp (4)", "a name of the history means one image for ever"


def test_what_belongs_together_is_one_group(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path)
    for plane in (0, 1):
        store.approve(approval(plane, f"stack {plane}", source="stack.tif", plane=(plane,)))
    store.approve(approval(2, "single", source="single.png", group="patient 7"))
    assert [(kept.name, kept.group) for kept in store.corrections()] == [
        ("stack 0", "stack.tif"),
        ("stack 1", "stack.tif"),
        ("single", "patient 7"),
    ]


def test_two_instances_share_one_folder(tmp_path: Path) -> None:
    one, other = CorrectionStore(tmp_path), CorrectionStore(tmp_path)
    one.approve(approval(0))
    assert other.approve(approval(1)).name == "polyp (2)"
    assert one.corrections() == other.corrections()


def test_looking_into_a_store_makes_nothing(tmp_data_home: Path) -> None:
    store = CorrectionStore()
    assert store.folder == tmp_data_home
    assert (store.corrections(), store.history(), store.warnings) == ([], [], ())
    assert list(tmp_data_home.iterdir()) == []


def test_a_file_that_vanished_is_told_and_the_rest_works(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "home")
    gone, here = store.approve(approval(0, "gone")), store.approve(approval(1, "here"))
    (tmp_path / "home" / "pixels" / f"{gone.mask}.npy.gz").unlink()
    assert store.export(tmp_path / "one") == [here]
    [sentence] = store.warnings
    assert sentence.startswith("The correction of gone cannot be read. The file ")
    with pytest.raises(InputError, match="is gone"):
        store.load(gone)
    store.approve(approval(0, "gone"))
    assert len(store.export(tmp_path / "both")) == 2
    assert store.warnings == ()


@pytest.mark.parametrize("damage", ["{", '{"name": "x"}', '{"number": 1e400}', "[" * 10_000])
def test_a_damaged_record_is_told_and_the_rest_works(tmp_path: Path, damage: str) -> None:
    store = CorrectionStore(tmp_path)
    first, other = store.approve(approval(0)), store.approve(approval(1))
    with store.database.write("not damaged") as connection:
        connection.execute("UPDATE corrections SET record = ? WHERE number = 1", (damage,))
    assert CorrectionStore(tmp_path).corrections() == [first, other]  # from the copy beside the pixels
    assert CorrectionStore(tmp_path).warnings == ()
    (tmp_path / "pixels" / f"{first.image}.json").unlink()
    assert CorrectionStore(tmp_path).corrections() == [other]
    [sentence] = CorrectionStore(tmp_path).warnings
    assert sentence.startswith("A record of Correction in the database is damaged: ")
    assert store.approve(approval(0)).number == 3


@pytest.mark.parametrize("image", ["/", "../*", "", "**/x", "\0"])
def test_a_damaged_row_of_any_image_is_told(tmp_path: Path, image: str) -> None:
    store = CorrectionStore(tmp_path)
    store.approve(approval(0))
    other = store.approve(approval(1))
    with store.database.write("not damaged") as connection:
        connection.execute("UPDATE corrections SET record = '{', image = ? WHERE number = 1", (image,))
    assert store.corrections() == [other]
    [sentence] = store.warnings
    assert sentence.startswith("A record of Correction in the database is damaged: ")


def test_a_database_that_is_gone_while_its_files_are_there_is_told(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path)
    kept = store.approve(approval())
    store.database.path.unlink()
    (tmp_path / "pixels" / f"{kept.image}.json").unlink()
    assert store.warnings == (
        f"{store.database.path} is gone, but {tmp_path / 'pixels'} holds masks that it knew; copy it from a backup.",
    )


@pytest.mark.parametrize("loss", ["emptied", "gone"])
def test_lost_records_are_told_and_made_again_from_the_files(tmp_path: Path, loss: str) -> None:
    store = CorrectionStore(tmp_path)
    store.approve(approval(0))
    kept = [store.approve(approval(0)), store.approve(approval(1))]
    store.withdraw(store.approve(approval(2)).image)
    store.forget(store.approve(approval(3)).image)
    if loss == "gone":
        store.database.path.unlink()
    else:
        with store.database.write("not emptied") as connection:
            connection.execute("DELETE FROM withdrawals")
            connection.execute("DELETE FROM corrections")
    store = CorrectionStore(tmp_path)
    assert store.corrections() == kept
    assert store.find(kept[1].image) == kept[1]
    [sentence] = store.warnings
    assert "has lost its corrections; 2 were taken up again from" in sentence
    fourth = store.approve(approval(4))
    assert store.corrections() == [*kept, fourth]
    assert fourth.number > kept[1].number
    assert store.warnings == ()


def test_a_folder_of_the_old_form_is_told(tmp_path: Path) -> None:
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections" / "corrections.jsonl").write_text('{"kind": "head", "format": 1}\n')
    [sentence] = CorrectionStore(tmp_path).warnings
    assert "an earlier version of napari-wavegms (corrections), which is left as it is" in sentence


@pytest.mark.parametrize(
    ("image", "mask", "sentence"),
    [
        (np.zeros((4, 4)), np.zeros((4, 5), int), "must cover the same pixels"),
        (np.zeros((2, 4, 5)), np.zeros((2, 4), int), "one plane at a time"),
        (np.zeros((4, 4)), np.full((4, 4), 0.5), "Threshold or round it"),
        (np.zeros((4, 4)), np.full((4, 4), -1), "labels from 0 up"),
        (np.zeros((4, 4), complex), np.zeros((4, 4), int), "real numbers of at most 64 bits"),
    ],
)
def test_what_is_no_correction_is_refused_and_leaves_nothing(
    tmp_path: Path, image: Any, mask: Any, sentence: str
) -> None:
    store = CorrectionStore(tmp_path)
    with pytest.raises(InputError, match=sentence):
        store.approve(Approval(name="polyp", image=image, mask=mask))
    assert store.history() == []


def test_a_threshold_outside_its_range_is_refused() -> None:
    with pytest.raises(InputError, match="lies between 0 and 1"):
        approval(threshold=1.0)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Have the system cut every write beyond `size` bytes of a file, in the middle, as a full disk does."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")


@needs_limits
@pytest.mark.parametrize("room", [0, 600])
def test_a_disk_that_fills_up_in_the_database_changes_nothing(tmp_path: Path, room: int) -> None:
    store = CorrectionStore(tmp_path)
    kept = [store.approve(approval(seed)) for seed in range(3)]
    large = "x" * 100_000
    with (
        files_no_larger_than(store.database.path.stat().st_size + room),
        pytest.raises(InputError, match=r"polyp was not kept: .* cannot be written"),
    ):
        store.approve(approval(3, source=large))
    assert store.history() == kept
    store.approve(approval(3))
    assert len(CorrectionStore(tmp_path).corrections()) == 4
    assert CorrectionStore(tmp_path).warnings == ()


@needs_limits
def test_a_disk_that_fills_up_in_the_pixels_leaves_nothing(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path)
    with files_no_larger_than(100), pytest.raises(InputError, match=r"polyp was not kept: .* cannot be written"):
        store.approve(approval())
    assert list(tmp_path.glob("pixels/*")) == []
    assert store.approve(approval()).number == 1


def test_a_large_image_on_its_way_to_the_disk_holds_up_no_stroke(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path)
    first = store.approve(approval(0))
    with ThreadPoolExecutor(1) as pool:
        with Database(tmp_path).write("x"):
            keeping = pool.submit(store.approve, approval(1))
            while len(list(tmp_path.glob("pixels/*.npy.gz"))) < 4:  # written while another writes the database
                assert not keeping.done()
        second = keeping.result()
    assert store.corrections() == [first, second]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "store")
    (tmp_path / "store").write_text("")
    with pytest.raises(InputError, match=r"cannot be (read|written)"):
        store.approve(approval())


def test_an_export_is_read_by_load_pairs(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "store")
    details = {"model": "default", "threshold": 0.4, "editor": "Ann", "spacing": Spacing((0.5, 0.25), "mm")}
    wanted = [approval(0, "a/b", **details), approval(1, "A_B"), approval(2, "CON"), approval(3, ".hidden")]
    for each in wanted:
        store.approve(each)
    assert store.export(tmp_path / "out", keep_names=True) == store.corrections()
    pairs = {pair.name: pair for pair in load_pairs(tmp_path / "out" / "images", tmp_path / "out" / "masks")}
    assert set(pairs) == {"a_b", "A_B (2)", "_CON", "hidden"}
    for stem, each in zip(["a_b", "A_B (2)", "_CON", "hidden"], wanted, strict=True):
        np.testing.assert_array_equal(pairs[stem].image, each.image)
        np.testing.assert_array_equal(pairs[stem].mask, each.mask)
    mask = read_mask_details(tmp_path / "out" / "masks" / "a_b.tif")
    assert mask.spacing == Spacing((0.5, 0.25), "mm")
    assert mask.provenance is not None
    assert (mask.provenance.model, mask.provenance.editor, mask.provenance.source) == ("default", "Ann", "a/b")
    assert read_mask_details(tmp_path / "out" / "masks" / "hidden.tif").provenance is None, "nothing is made up"
    lines = [json.loads(line) for line in (tmp_path / "out" / "corrections.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == ["a_b.tif", "A_B (2).tif", "_CON.tif", "hidden.tif"]


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4), (1, 1)])
def test_every_kind_of_image_is_exported_exactly(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    store = CorrectionStore(tmp_path / "store")
    store.approve(Approval(name="x", image=image, mask=np.ones(shape[:2], np.uint8)))
    store.export(tmp_path / "out")
    [pair] = load_pairs(tmp_path / "out" / "images", tmp_path / "out" / "masks")
    wanted = image[..., 0] if shape[2:] == (1,) else image
    if dtype == "?" and wanted.ndim == 3:
        wanted = wanted.astype(np.uint8) * 255
    np.testing.assert_array_equal(pair.image, wanted)
    assert pair.image.dtype == wanted.dtype


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "store")
    with pytest.raises(InputError, match=r"no approved (correction|mask)"):
        store.export(tmp_path / "out")
    store.approve(approval())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    with pytest.raises(InputError, match="not an empty folder"):
        store.export(tmp_path / "full")
    (tmp_path / "empty").mkdir()
    assert len(store.export(tmp_path / "empty")) == 1


@needs_limits
def test_an_export_to_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "store")
    store.approve(approval())
    (tmp_path / "place").mkdir()
    with files_no_larger_than(200), pytest.raises(InputError, match="cannot be written"):
        store.export(tmp_path / "place" / "out")
    assert list((tmp_path / "place").iterdir()) == []


actions = st.lists(st.tuples(st.sampled_from(["approve", "withdraw", "reopen"]), st.integers(0, 3)), max_size=12)


@settings(max_examples=30)
@given(actions=actions)
def test_the_store_is_a_dictionary_that_outlives_its_process(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = CorrectionStore(folder)
    model: dict[str, Approval] = {}
    for turn, (action, seed) in enumerate(actions):
        given_now = Approval(name="x", image=approval(seed).image, mask=np.full((6, 8), turn))
        image = content_hash(given_now.image)
        if action == "approve":
            store.approve(given_now)
            model[image] = given_now
        elif action == "withdraw" and image in model:
            store.withdraw(image)
            del model[image]
        elif action == "reopen":
            store = CorrectionStore(folder)
        assert [kept.image for kept in store.corrections()] == list(model)
    for kept in store.corrections():
        assert_kept(store, kept, model[kept.image])
