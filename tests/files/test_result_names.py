"""Names of results: one for each input."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.files.discovery import find_images, result_names

parts = st.sampled_from(["a", "A", "b", "a_x", "x", "x_png", "x_1"])
files = st.builds(
    lambda folders, stem, ending: Path(*folders, stem + ending),
    st.lists(parts, max_size=3),
    parts,
    st.sampled_from([".png", ".PNG", ".tif", ".nii.gz"]),
)


@given(st.lists(files, min_size=1, unique=True))
def test_every_file_has_a_name_of_its_own_on_any_file_system(inputs: list[Path]) -> None:
    names = result_names(inputs)
    assert len({name.casefold() for name in names}) == len(inputs)
    assert not any(separator in name for name in names for separator in "/\\")


@given(st.lists(files, min_size=1, unique=True))
def test_a_stem_that_nothing_shares_is_the_name(inputs: list[Path]) -> None:
    stems = [path.name.removesuffix(".nii.gz").removesuffix(path.suffix) for path in inputs]
    for name, stem in zip(result_names(inputs), stems, strict=True):
        if [other.casefold() for other in stems].count(stem.casefold()) == 1:
            assert name == stem


def test_folders_tell_equal_stems_apart() -> None:
    assert result_names([Path("mon/scan.png"), Path("tue/scan.png")]) == ["mon_scan", "tue_scan"]
    assert result_names([Path("a/mon/scan.png"), Path("b/mon/scan.png")]) == ["a_mon_scan", "b_mon_scan"]


def test_a_made_up_name_avoids_a_real_one() -> None:
    inputs = [Path("mon/scan.png"), Path("tue/scan.png"), Path("mon_scan.png")]
    names = result_names(inputs)
    assert names[2] == "mon_scan"
    assert len(set(names)) == 3


def test_a_file_named_in_two_ways_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").mkdir()
    Path("scan.png").touch()
    assert find_images([Path("scan.png"), tmp_path / "scan.png", Path("x/../scan.png")]) == [Path("scan.png")]
