"""The sticky split: its laws, and what a score is worth."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wavegms.errors import InputError
from napari_wavegms.finetune.split import HELD_OUT, TRAIN, Member, StickySplit, draw, leave_one_out
from napari_wavegms.learn.pairs import Pair

names = st.text(max_size=4)
members = st.builds(Member, names, st.sampled_from([f"{number:02x}" for number in range(40)]))
batches = st.lists(st.lists(members, max_size=8), min_size=1, max_size=5)


def pair(seed: int, group: str = "") -> Pair:
    return Pair(f"image {seed}", np.full((2, 2), seed), np.ones((2, 2), bool), group)


@settings(max_examples=40)
@given(batches=batches)
def test_growing_never_moves_anything(tmp_path_factory: pytest.TempPathFactory, batches: list[list[Member]]) -> None:
    folder = tmp_path_factory.mktemp("split")
    by_group: dict[str, str] = {}
    by_content: dict[str, str] = {}
    for batch in batches:
        split = StickySplit(folder)
        for member, side in zip(batch, split.sides(batch), strict=True):
            if side is not None:
                group = member.group or member.content
                assert by_group.setdefault(group, side) == side, "a group moved or was torn"
                assert by_content.setdefault(member.content, side) == side, "an image was learned from and scored on"
    everything = [member for batch in batches for member in batch]
    again = StickySplit(folder)
    assert again.sides(everything) == again.sides(everything[::-1])[::-1]


@given(groups=st.lists(st.text(min_size=1), unique=True, max_size=20), salt=names)
def test_the_draw_needs_no_memory_and_no_order(groups: list[str], salt: str) -> None:
    sides = {group: draw(group, 0.3, salt) for group in groups}
    assert sides == {group: draw(group, 0.3, salt) for group in reversed(groups)}


@given(group=st.text(), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_larger_share_holds_out_what_a_smaller_one_does(group: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert draw(group, low) == TRAIN or draw(group, high) == HELD_OUT


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("salt", ["a", "b", "c"])
def test_the_share_converges(share: float, salt: str) -> None:
    for count in (100, 1000, 10_000):
        held = sum(draw(f"patient {number}", share, salt) == HELD_OUT for number in range(count))
        assert abs(held / count - share) < 4 * math.sqrt(share * (1 - share) / count)


def test_groups_stay_together_and_every_pair_is_somewhere(tmp_path: Path) -> None:
    pairs = [pair(number, f"patient {number // 3}") for number in range(60)]
    view = StickySplit(tmp_path).divide(pairs)
    assert {p.group for p in view.train} & {p.group for p in view.held_out} == set()
    assert len(view.train) + len(view.held_out) == 60
    assert 0 < len(view.held_out) < 30
    assert view.set_aside == ()


def test_the_split_survives_the_loss_of_its_file(tmp_path: Path) -> None:
    pairs = [pair(number) for number in range(30)]
    split = StickySplit(tmp_path)
    before = split.divide(pairs)
    split.database.path.unlink()
    after = StickySplit(tmp_path).divide(pairs[::-1])
    assert {p.name for p in before.held_out} == {p.name for p in after.held_out}


def test_the_rule_in_the_file_wins(tmp_path: Path) -> None:
    groups = [Member(f"g{number}", f"c{number}") for number in range(50)]
    first = StickySplit(tmp_path, share=0.5, salt="first").sides(groups[:25])
    other = StickySplit(tmp_path, share=0.1, salt="other")
    assert other.share == 0.5
    assert other.sides(groups)[:25] == first
    assert other.sides(groups)[25:] == [draw(member.group, 0.5, "first") for member in groups[25:]]


def test_an_image_under_another_name_stays_on_its_side(tmp_path: Path) -> None:
    split = StickySplit(tmp_path)
    trained = next(f"g{number}" for number in range(99) if draw(f"g{number}") == TRAIN)
    held = next(f"g{number}" for number in range(99) if draw(f"g{number}") == HELD_OUT)
    assert split.sides([Member(trained, "a"), Member(held, "b")]) == [TRAIN, HELD_OUT]
    renamed = next(f"h{number}" for number in range(99) if draw(f"h{number}") == HELD_OUT)
    assert split.sides([Member(renamed, "a"), Member(renamed, "new")]) == [TRAIN, TRAIN]
    assert split.sides([Member(held, "a"), Member(trained, "b")]) == [None, None], "never learned from and scored on"


def test_what_was_set_aside_is_said(tmp_path: Path) -> None:
    split = StickySplit(tmp_path)
    trained = next(number for number in range(99) if draw(f"g{number}") == TRAIN)
    held = next(number for number in range(99) if draw(f"g{number}") == HELD_OUT)
    first = split.divide([pair(0, f"g{trained}"), pair(1, f"g{held}")])
    assert first.sentence == "1 training image, 1 test image."
    view = split.divide([pair(1, f"g{trained}")])
    assert [p.name for p in view.set_aside] == ["image 1"]
    assert view.sentence == "0 training images, no test image yet; 1 ignored, having been on the other side before."


def test_known_groups_need_no_writing(tmp_path: Path) -> None:
    split = StickySplit(tmp_path)
    split.sides([Member("g", "c")])
    before = split.database.path.read_bytes()
    split.sides([Member("g", "c")])
    StickySplit(tmp_path).sides([Member("g", "c")])
    assert split.database.path.read_bytes() == before


@pytest.mark.parametrize("share", [0, 1, -0.2, float("nan")])
def test_a_share_outside_its_range_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(InputError, match="lies between 0 and 1"):
        StickySplit(tmp_path, share=share)


def test_each_group_is_left_out_once() -> None:
    pairs = [pair(0, "a"), pair(1, "b"), pair(2, "a"), pair(3)]
    views = list(leave_one_out(pairs))
    assert [[p.name for p in view.held_out] for view in views] == [["image 0", "image 2"], ["image 1"], ["image 3"]]
    assert all(len(view.train) + len(view.held_out) == 4 for view in views)
    assert list(leave_one_out(pairs[:1])) == []
    assert list(leave_one_out([])) == []
