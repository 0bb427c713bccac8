"""Every key of Review works, is printed, is nobody else's, and can be another."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
import pytest
import yaml
from app_model.types import KeyBinding
from npe2 import PluginManifest

from napari_wavegms.widgets.shortcuts import (
    ACTIONS,
    CATEGORY,
    MASK_KEY,
    PLUGIN,
    SEGMENT_KEY,
    ReviewKeys,
    assign_keys,
    key_settings,
    napari_keys,
)

OURS = [action for action in ACTIONS if not action.is_fixed]
DEFAULTS = {action.name: action.key for action in ACTIONS}


@pytest.fixture
def pressed() -> list[str]:
    return []


@pytest.fixture
def keys(shared_viewer: Any, pressed: list[str]) -> Any:
    viewer = shared_viewer
    keys = ReviewKeys(viewer, {action.name: lambda name=action.name: pressed.append(name) for action in OURS})
    keys.viewer = viewer
    yield keys
    keys.close()
    viewer.layers.clear()


def test_no_key_is_napari_s_nor_ours_twice(shared_viewer: Any) -> None:
    from napari.layers import Labels
    from napari.utils.shortcuts import default_shortcuts

    theirs = napari_keys()
    assert {"Ctrl+Z", "Alt+S", "Alt+Up", "B"} <= theirs  # of a layer, a menu, the viewer, a tool
    assert {str(key) for keys in default_shortcuts.values() for key in keys} <= theirs
    assert {str(key) for key in Labels.class_keymap} <= theirs
    menus = shared_viewer.window._qt_window.menuBar().actions()
    assert {f"Alt+{action.text().partition('&')[2][0]}" for action in menus if "&" in action.text()} <= theirs
    ours = [str(KeyBinding.from_str(action.key)) for action in OURS]
    assert ours == [action.key for action in OURS]  # written as napari writes them
    assert theirs.isdisjoint(ours)
    fixed = {SEGMENT_KEY.replace("-", "+"), MASK_KEY.replace("-", "+")}
    assert theirs.isdisjoint(fixed)
    assert len({*ours, *fixed}) == len(ours) + 2


def test_each_key_does_its_action_whatever_is_selected(keys: Any, pressed: list[str], hand_over: Any) -> None:
    viewer = keys.viewer
    keys.open()
    hand = hand_over(viewer)
    for select in (
        lambda: None,
        lambda: viewer.add_points(np.zeros((1, 2))),
        lambda: viewer.add_image(np.zeros((9, 9))),
        lambda: setattr(viewer.add_labels(np.zeros((9, 9), np.uint8)), "mode", "paint"),
    ):
        pressed.clear()
        select()  # what is added is selected
        for action in OURS:
            hand.key(action.key)
        assert pressed == [action.name for action in OURS]
    keys.close()
    hand.key("Alt+A")
    assert len(pressed) == len(OURS)


def test_keys_are_printed_on_the_buttons(keys: ReviewKeys) -> None:
    assert keys.label("approve") == "Approve"  # not bound yet
    keys.open()
    assert keys.label("approve") == "Approve  Alt+A"
    assert keys.label("next") == "Next  Alt+→"
    assert keys.label("undo") == "Undo  Ctrl+Z"
    assert keys.problems == []


def test_a_key_that_somebody_has_bound_stays_theirs(keys: Any, pressed: list[str], hand_over: Any) -> None:
    keys.viewer.bind_key("Alt-B", lambda _viewer: pressed.append("theirs"))
    keys.open()
    assert keys.label("box") == "Box"
    assert keys.problems == ["Alt+B belongs to another plugin, so Box has no key now."]
    hand_over(keys.viewer).key("Alt+B")
    keys.close()
    hand_over(keys.viewer).key("Alt+B")
    keys.viewer.bind_key("Alt-B", None)
    assert pressed == ["theirs", "theirs"]


@pytest.mark.parametrize(
    ("wishes", "expected", "problem"),
    [
        ({"box": "F9"}, {"box": "F9"}, None),
        ({"box": " shift + alt + b "}, {"box": "Shift+Alt+B"}, None),
        ({"box": ""}, {"box": None}, None),
        ({"box": "Alt+A", "approve": "Alt+B"}, {"box": "Alt+A", "approve": "Alt+B"}, None),
        ({"box": "Alt+A"}, {"box": "Alt+B", "approve": "Alt+A"}, "belongs to Approve, so it keeps Alt+B"),
        ({"box": "B"}, {"box": "Alt+B"}, "belongs to napari"),
        ({"box": "Alt+G"}, {"box": "Alt+B"}, "belongs to Segment"),
        ({"box": "the B"}, {"box": "Alt+B"}, "is no key; write it like Alt+B"),
        ({"box": "Alt"}, {"box": "Alt+B"}, "is no key"),
        ({"box": "Ctrl+K Ctrl+B"}, {"box": "Alt+B"}, "is no key"),
        ({"box": "oops", "skip": "Alt+B"}, {"skip": "Alt+B", "box": None}, "so it has none now"),
    ],
)
def test_wishes_are_met_or_answered(
    wishes: dict[str, str], expected: dict[str, str | None], problem: str | None
) -> None:
    keys, problems = assign_keys(DEFAULTS | wishes, napari_keys())
    assert {name: keys.get(name) for name in expected} == expected
    assert len(set(keys.values())) == len(keys)
    assert bool(problems) == (problem is not None)
    assert problem is None or problem in " ".join(problems)


def manifest(**changes: Any) -> PluginManifest:
    text = yaml.safe_load((files("napari_wavegms") / "napari.yaml").read_text())
    text["contributions"] |= changes
    return PluginManifest(**text)


def test_the_manifest_has_a_setting_for_each_key() -> None:
    text = yaml.safe_load((files("napari_wavegms") / "napari.yaml").read_text())
    assert text["contributions"]["configurations"][CATEGORY]["properties"] == {
        action.name: {
            "type": "string",
            "title": action.title,
            "description": action.explained,
            "default": action.key,
        }
        for action in OURS
    }


@pytest.fixture
def preferences(npe2pm: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    settings = pytest.importorskip("napari.settings")
    if not hasattr(settings, "get_plugin_settings"):
        pytest.skip("napari before 0.9 has no settings of plugins")
    monkeypatch.setattr(settings, "_PLUGIN_SETTINGS", {})
    npe2pm.register(manifest())
    return getattr(settings.get_plugin_settings(PLUGIN, None), CATEGORY)


def test_keys_chosen_in_preferences_take_the_place_of_ours(
    preferences: Any, keys: Any, pressed: list[str], hand_over: Any
) -> None:
    assert preferences.box == "Alt+B"
    keys.open()
    assert keys.label("box") == "Box  Alt+B"
    heard: list[str] = []
    keys.changed.connect(lambda: heard.append(keys.label("box")))
    preferences.box = "F9"
    assert heard == ["Box  F9"]
    hand = hand_over(keys.viewer)
    hand.key("Alt+B")
    hand.key("F9")
    assert pressed == ["box"]
    preferences.box = "Ctrl+Z"
    assert keys.label("box") == "Box  Alt+B"
    assert "belongs to napari" in keys.problems[0]
    keys.close()
    preferences.box = "F8"
    assert len(heard) == 2


def test_without_settings_our_own_keys_serve(npe2pm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import napari.settings

    npe2pm.register(manifest(configurations={}))
    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {})
    assert key_settings() is None
    monkeypatch.delattr(napari.settings, "get_plugin_settings")  # as in napari 0.8
    assert key_settings() is None
