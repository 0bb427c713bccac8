"""The order of a worklist: what teaches most first, and nothing for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wavegms.worklist.item import STATES, Item
from napari_wavegms.worklist.ordering import (
    SORT_ORDERS,
    STATE_FILTERS,
    StateFilter,
    fits,
    next_key,
    ordered_keys,
    previous_key,
    upcoming,
)

STATE = st.sampled_from(STATES)
UNCERTAINTY = st.none() | st.floats(0, 1)


def item(key: str, **values: object) -> Item:
    return replace(Item(key, key), **values)  # type: ignore[arg-type]


@st.composite
def lists(draw: st.DrawFn) -> list[Item]:
    states = draw(st.lists(st.tuples(STATE, UNCERTAINTY, st.integers(0, 6)), max_size=12))
    return [
        item(f"scan_{number}", state=state, uncertainty=uncertainty, score=uncertainty, shown=shown)
        for number, (state, uncertainty, shown) in enumerate(states)
    ]


def test_the_least_certain_comes_first_and_what_was_never_predicted_last() -> None:
    items = [item("a"), item("b", uncertainty=0.1), item("c", uncertainty=0.7), item("d"), item("e", uncertainty=0.7)]
    assert ordered_keys(items) == ["c", "e", "b", "a", "d"]


def test_what_was_shown_goes_behind_what_was_not_and_the_oldest_comes_back_first() -> None:
    items = [item("a", uncertainty=0.9, shown=2), item("b", uncertainty=0.8, shown=1), item("c", uncertainty=0.1)]
    assert ordered_keys(items) == ["c", "b", "a"]


def test_skipped_and_approved_images_come_after_those_that_wait() -> None:
    items = [
        item("a", state="approved", uncertainty=0.9),
        item("b", state="skipped", uncertainty=0.8),
        item("c", state="corrected", uncertainty=0.1, shown=3),
        item("d"),
    ]
    assert ordered_keys(items) == ["d", "c", "b", "a"]


def test_the_images_of_this_sitting_stand_in_front_in_the_order_in_which_they_were_shown() -> None:
    items = [
        item("a", shown=5, state="approved"),
        item("b", shown=2),
        item("c", uncertainty=0.5),
        item("d", shown=4, uncertainty=1.0),
    ]
    assert ordered_keys(items, since=3) == ["d", "a", "c", "b"]


@given(lists(), st.integers(0, 6))
def test_a_sitting_turns_the_ring_and_changes_nobody_s_neighbour(items: list[Item], since: int) -> None:
    waiting = [replace(one, state="todo") for one in items]
    numbered = [replace(one, shown=one.shown and 10 * one.shown + place) for place, one in enumerate(waiting)]
    plain, turned = ordered_keys(numbered), ordered_keys(numbered, since=10 * since)
    assert sorted(plain) == sorted(turned)
    assert all(next_key(plain, key) == next_key(turned, key) for key in plain)


def test_every_other_order_leaves_the_rest_to_the_folder() -> None:
    items = [
        item("scan_10", state="approved", seconds=5.0, score=0.4),
        item("scan_2", state="corrected", seconds=9.0, size=3.5, unit="mm²"),
        item("Scan_1", state="todo", score=0.1),
        item("scan_3", state="predicted", score=0.1, shown=1),
    ]
    assert ordered_keys(items, "folder order") == ["scan_10", "scan_2", "Scan_1", "scan_3"]
    assert ordered_keys(items, "name") == ["Scan_1", "scan_2", "scan_3", "scan_10"]
    assert ordered_keys(items, "state") == ["scan_2", "scan_3", "Scan_1", "scan_10"]
    assert ordered_keys(items, "longest first") == ["scan_2", "scan_10", "Scan_1", "scan_3"]
    assert ordered_keys(items, "largest first") == ["scan_2", "scan_10", "Scan_1", "scan_3"]
    assert ordered_keys(items, "lowest score first") == ["Scan_1", "scan_2", "scan_3", "scan_10"]


@pytest.mark.parametrize(
    ("show", "shown"),
    [
        ("all", {"todo", "predicted", "corrected", "approved", "skipped"}),
        ("todo", {"todo", "predicted"}),
        ("unfinished", {"todo", "predicted", "corrected", "skipped"}),
        ("predicted", {"predicted"}),
        ("corrected", {"corrected"}),
        ("approved", {"approved"}),
        ("skipped", {"skipped"}),
    ],
)
def test_show_leaves_out_the_other_states(show: StateFilter, shown: set[str]) -> None:
    items = [item(state, state=state) for state in STATES]
    assert set(ordered_keys(items, state_filter=show)) == shown
    assert {one.key for one in items if fits(one, show)} == shown


def test_every_word_of_the_search_must_be_in_the_name() -> None:
    items = [item("benign_12"), item("Benign_3"), item("malignant_12")]
    assert ordered_keys(items, "name", text="BEN 12") == ["benign_12"]
    assert ordered_keys(items, "name", text=" ") == ["Benign_3", "benign_12", "malignant_12"]
    assert ordered_keys(items, "name", text="benign", keep="malignant_12") == ["Benign_3", "benign_12"]


def test_the_image_that_is_looked_at_stays_whatever_became_of_it() -> None:
    items = [item("a"), item("b", state="approved"), item("c")]
    assert ordered_keys(items, "name", "todo", keep="b") == ["a", "b", "c"]


@given(lists(), st.sampled_from(SORT_ORDERS), st.sampled_from(STATE_FILTERS), st.none() | st.integers(0, 6))
def test_every_order_holds_each_image_that_is_to_be_shown_once(
    items: list[Item], how: object, show: StateFilter, since: object
) -> None:
    keys = ordered_keys(items, how, show, since=since)  # type: ignore[arg-type]
    assert sorted(keys) == sorted(one.key for one in items if fits(one, show))


def test_next_and_previous_go_round() -> None:
    keys = ["a", "b", "c"]
    assert [next_key(keys, key) for key in (None, "a", "c", "gone")] == ["a", "b", "a", "a"]
    assert [previous_key(keys, key) for key in (None, "a", "c", "gone")] == ["c", "c", "b", "c"]
    assert next_key(["a"], "a") is None
    assert previous_key([], None) is None


def test_upcoming_gives_each_other_key_once() -> None:
    keys = ["a", "b", "c", "d"]
    assert upcoming(keys, "c", 2) == ["d", "a"]
    assert upcoming(keys, "c", 9) == ["d", "a", "b"]
    assert upcoming(keys, None, 2) == ["a", "b"]


@given(st.lists(UNCERTAINTY, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_no_image_comes_back_before_every_other_one_had_its_turn(start: list[float | None], chance: object) -> None:
    """Nobody ever approves anything, and what the model thinks of each image changes all the time."""
    items = {f"{number}": item(f"{number}", uncertainty=value) for number, value in enumerate(start)}
    current, served = None, []
    for number in range(1, 3 * len(items) + 1):
        current = next_key(ordered_keys(items.values()), current)
        assert current is not None
        served.append(current)
        items[current] = replace(items[current], shown=number)
        changed = chance.choice(list(items))  # type: ignore[attr-defined]
        items[changed] = replace(items[changed], uncertainty=chance.random())  # type: ignore[attr-defined]
    for lap in range(3):
        assert len(set(served[lap * len(items) : (lap + 1) * len(items)])) == len(items)
