"""The sticky split: its laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wavegms.finetune.split import HELD_OUT, TRAIN, Member, StickySplit, leave_one_out, rank, to_hold_out
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


@given(groups=st.sets(names, max_size=40))
def test_the_order_of_holding_out_needs_no_memory_and_no_order(groups: set[str]) -> None:
    ranks = {group: rank(group) for group in sorted(groups)}
    assert all(0 <= place < 1 for place in ranks.values())
    assert ranks == {group: rank(group) for group in reversed(ranks)}


@pytest.mark.parametrize("at_once", [True, False])
@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 30), clinic=names)
def test_one_of_two_two_of_five_and_a_fifth_of_many_are_held_out(
    tmp_path_factory: pytest.TempPathFactory, at_once: bool, count: int, clinic: str
) -> None:
    everything = [Member(f"{clinic} g{number}", f"{clinic} c{number}") for number in range(count)]
    split = StickySplit(tmp_path_factory.mktemp("split"))
    for so_far in range(count if at_once else 1, count + 1):
        held = split.sides(everything[:so_far]).count(HELD_OUT)
        assert held == to_hold_out(so_far)
        assert held >= (so_far >= 2) + (so_far >= 5)


def test_who_has_a_side_keeps_it_and_who_comes_makes_up_for_it(tmp_path: Path) -> None:
    split = StickySplit(tmp_path)
    first = [Member(f"g{number}", f"c{number}") for number in range(10)]
    trained = [member for member, side in zip(first, split.sides(first), strict=True) if side == TRAIN]
    assert set(split.sides(trained)) == {TRAIN}, "there is nobody new to hold out"
    assert split.sides([*trained, Member("new", "n"), Member("newer", "m")])[-2:] == [HELD_OUT, HELD_OUT]


def test_a_group_larger_than_its_share_is_held_out_only_where_there_is_no_smaller(tmp_path: Path) -> None:
    stack = [Member("stack", f"s{number}") for number in range(8)]
    for name, others, held in (("one", ["a"], 1), ("alone", [], 0), ("three", ["a", "b", "c"], 2)):
        sides = StickySplit(tmp_path / name).sides([*stack, *(Member(other, other) for other in others)])
        assert sides[:8] == [TRAIN] * 8
        assert sides.count(HELD_OUT) == held
    equal = [Member(group, f"{group}{number}") for group in "ab" for number in range(4)]
    assert sorted(map(str, StickySplit(tmp_path / "equal").sides(equal))) == [HELD_OUT] * 4 + [TRAIN] * 4


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


def test_an_image_under_another_name_stays_on_its_side(tmp_path: Path) -> None:
    split = StickySplit(tmp_path)
    held, trained = sorted(("g1", "g2"), key=rank)
    assert split.sides([Member(trained, "a"), Member(held, "b")]) == [TRAIN, HELD_OUT]
    assert split.sides([Member("renamed", "a"), Member("renamed", "new")]) == [TRAIN, TRAIN]
    assert split.sides([Member(held, "a"), Member(trained, "b")]) == [None, None], "never learned from and scored on"


def test_what_was_set_aside_is_said(tmp_path: Path) -> None:
    split = StickySplit(tmp_path)
    held, trained = sorted(("g1", "g2"), key=rank)
    first = split.divide([pair(0, trained), pair(1, held)])
    assert first.sentence == "1 training image, 1 test image."
    view = split.divide([pair(1, trained)])
    assert [p.name for p in view.set_aside] == ["image 1"]
    assert view.sentence == "0 training images, no test image; 1 ignored, having been on the other side before."


def test_known_groups_need_no_writing(tmp_path: Path) -> None:
    split = StickySplit(tmp_path)
    split.sides([Member("g", "c")])
    before = split.database.path.read_bytes()
    split.sides([Member("g", "c")])
    StickySplit(tmp_path).sides([Member("g", "c")])
    assert split.database.path.read_bytes() == before


def test_each_group_is_left_out_once() -> None:
    pairs = [pair(0, "a"), pair(1, "b"), pair(2, "a"), pair(3)]
    views = list(leave_one_out(pairs))
    assert [[p.name for p in view.held_out] for view in views] == [["image 0", "image 2"], ["image 1"], ["image 3"]]
    assert all(len(view.train) + len(view.held_out) == 4 for view in views)
    assert list(leave_one_out(pairs[:1])) == []
    assert list(leave_one_out([])) == []
