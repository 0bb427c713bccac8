"""What napari reads of us before anything of ours runs."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from app_model.types import KeyBinding
from napari.components import ViewerModel
from npe2 import PluginManifest

from napari_wavegms.widgets.shortcuts import SEGMENT_KEY, Key


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_file(str(files("napari_wavegms") / "napari.yaml"))


def test_the_manifest_is_valid_and_all_it_names_is_there(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    assert manifest.name == "napari-wavegms"
    assert manifest.display_name == "Wave-GMS"
    assert all(command.id.startswith("napari-wavegms.") for command in manifest.contributions.commands)
    package, resource = str(manifest.icon).split(":")
    assert (files(package) / resource).is_file()


def test_masks_are_written_as_tiff_nifti_dicom_and_png(manifest: PluginManifest) -> None:
    endings = [ending for writer in manifest.contributions.writers for ending in writer.filename_extensions]
    assert endings == [".tif", ".tiff", ".nii.gz", ".nii", ".dcm", ".png"]
    assert all(writer.layer_types == ["labels"] for writer in manifest.contributions.writers)


def test_the_panel_can_be_opened_from_napari_s_layers_menu(manifest: PluginManifest) -> None:
    from napari._app_model.constants import MenuId

    assert set(manifest.contributions.menus) <= {menu.value for menu in MenuId.contributables()}
    assert [item.command for item in manifest.contributions.menus["napari/layers/segment"]] == [
        "napari-wavegms.segment",
        "napari-wavegms.review",
        "napari-wavegms.fine_tune",
    ]


@pytest.mark.parametrize("key", ["ultrasound", "ultrasound_stack", "skin_lesion"])
def test_samples_bring_an_image_and_its_truth(npe2pm: Any, manifest: PluginManifest, key: str) -> None:
    npe2pm.register(manifest)
    sample = next(sample for sample in manifest.contributions.sample_data if sample.key == key)
    kinds = [layer[2] for layer in sample.open(_registry=npe2pm.commands)]
    assert kinds == ["image", "labels"]


def test_napari_opens_the_panel_by_its_manifest(make_napari_viewer: Any, npe2pm: Any, manifest: PluginManifest) -> None:
    npe2pm.register(manifest)
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-wavegms", "Wave-GMS Segment")
    assert widget.panel.isVisibleTo(widget)


def test_our_key_is_none_of_napari_s(make_napari_viewer: Any) -> None:
    from napari._app_model import get_app_model
    from napari.utils.shortcuts import default_shortcuts

    viewer = make_napari_viewer()
    ours = KeyBinding.from_str(SEGMENT_KEY.replace("-", "+"))
    theirs = {str(binding.keybinding) for binding in get_app_model().keybindings}
    theirs |= {str(key) for keys in default_shortcuts.values() for key in keys}
    menus = {action.text() for action in viewer.window._qt_window.menuBar().actions()}
    assert "Alt+S" in theirs  # Save Screenshot: the reason why our key is another
    assert str(ours) not in theirs
    assert f"&{SEGMENT_KEY[-1]}" not in "".join(menus)


def test_a_key_that_is_taken_stays_its_owner_s() -> None:
    viewer = ViewerModel()
    pressed: list[str] = []
    viewer.bind_key("Alt-G", lambda _viewer: pressed.append("theirs"))
    key = Key("Alt-G", lambda: pressed.append("ours"))
    assert not key.bind(viewer)
    key.unbind()
    viewer.keymap[KeyBinding.from_str("Alt+G")](viewer)
    assert pressed == ["theirs"]
