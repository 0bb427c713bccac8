"""Keyboard shortcuts: what they are, and binding them to a viewer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import ReferenceType, ref

from app_model.backends.qt import QKeyBindingSequence
from app_model.types import KeyBinding
from napari.components import ViewerModel
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QShortcut
from qtpy.QtWidgets import QWidget

# Alt+S, the obvious letter, is napari's own "Save Screenshot"; the g of seGment is free on every platform.
SEGMENT_KEY = "Alt-G"


# V shows and hides what is selected; Alt+T is napari's too, and letters such as E and N are accents on a Mac.
MASK_KEY = "Alt-Y"


def bind_mask_key(viewer: ViewerModel, toggle: Callable[[ViewerModel], None]) -> str:
    """Bind the key that shows or hides the mask; return it as a button shows it, or "" where it is somebody else's.

    All panels share it and bring the same function, and it stays for as long as the viewer, as masks do.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # a plugin may be handed a passing proxy
    with suppress(ValueError):  # napari's word for "already used"
        viewer.bind_key(MASK_KEY, toggle)
    return MASK_KEY.replace("-", "+") if toggle in viewer.keymap.values() else ""


class Key:
    """A key, in napari's spelling such as ``"Alt-G"``, that calls an action while it is bound to a viewer."""

    def __init__(self, key: str, action: Callable[[], object]) -> None:
        self.key = key
        self._action = action
        self._viewer: ReferenceType[ViewerModel] | None = None

    @property
    def printed(self) -> str:
        """The key as a button shows it."""
        return self.key.replace("-", "+")

    def bind(self, viewer: ViewerModel) -> bool:
        """Bind the key, unless it is somebody else's; return whether it is ours now."""
        if self._viewer is not None:
            return True
        viewer = getattr(viewer, "__wrapped__", viewer)  # a plugin may be handed a passing proxy
        try:
            viewer.bind_key(self.key, self._on_pressed)
        except ValueError:  # napari's word for "already used"
            return False
        self._viewer = ref(viewer)
        return True

    def unbind(self) -> None:
        """Release the key."""
        viewer = None if self._viewer is None else self._viewer()
        if viewer is not None:
            viewer.bind_key(self.key, None)
        self._viewer = None

    def _on_pressed(self, _viewer: object) -> None:  # napari would call what an action returns
        self._action()


PLUGIN, CATEGORY = "napari-wavegms", "review_keys"
"""Where napari's Preferences keep our keys."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a button or a key does; all but those with fixed keys are settings in the manifest, too."""

    name: str  # of its setting
    title: str  # what the button says
    key: str  # by default; as napari shows it
    explained: str  # for the tooltip
    is_fixed: bool = False  # the key is napari's own or that of all panels: printed, not bound, not to be changed here


ACTIONS = (
    Action("approve", "Approve", "Alt+A", "Lock this mask, keep it for training, and go to the next image."),
    Action("withdraw", "Un-approve", "Alt+Z", "Withdraw the approval, so that the mask can be changed again."),
    Action("next", "Next", "Alt+Right", "Go to the next image in the list."),
    Action("previous", "Previous", "Alt+Left", "Go back to the previous image."),
    Action("skip", "Skip", "Alt+K", "Leave this image for later."),
    Action("box", "Box", "Alt+B", "Draw a box around a structure; the model segments again inside it."),
    Action("next_uncertain", "Next uncertain spot", "Alt+D", "Centre the place where the model is least certain."),
    Action("uncertainty", "Uncertainty", "Shift+Alt+D", "Show or hide where the model is uncertain."),
    Action("changes", "Changes", "Alt+Q", "Show or hide what you added to the prediction and removed from it."),
    Action("fill_holes", "Fill holes", "Alt+O", "Label what the mask encloses."),
    Action("keep_largest", "Keep largest", "Alt+R", "Keep only the largest piece of each label."),
    Action("remove_islands", "Remove islands", "Alt+X", "Remove small pieces of each label."),
    Action("smooth", "Smooth", "Alt+M", "Round off the outline by two pixels."),
    Action("undo", "Undo", "Ctrl+Z", "Undo the last step, yours or the model's.", is_fixed=True),
    Action("mask", "Mask on/off", "Alt+Y", "Show or hide the mask.", is_fixed=True),
)

_BY_NAME = {action.name: action for action in ACTIONS}
_NO_KEYS = {"", "Unknown", "Alt", "Ctrl", "Meta", "Shift"}


class ReviewKeys(QObject):
    """The keys of one panel, from `open` to `close`, for the `actions` that have a name of `ACTIONS`.

    They work in the `panel` too, whatever has the focus: a list or a field would take letters with Alt for itself.
    """

    changed = Signal()  # other keys were chosen in Preferences

    def __init__(
        self,
        viewer: ViewerModel,
        actions: Mapping[str, Callable[[], object]],
        parent: QObject | None = None,
        panel: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._panel = viewer, panel
        self._actions = dict(actions)
        self._bound: dict[str, Key] = {}
        self._shortcuts: list[QShortcut] = []
        self._settings: Any = None
        self.problems: list[str] = []  # a sentence for each chosen key that is not available

    def open(self) -> None:
        """Bind the keys, and follow what is chosen in Preferences."""
        if self._settings is None:
            self._settings = key_settings()
            if self._settings is not None:
                self._settings.events.connect(self._on_settings)
        self._bind()

    def close(self) -> None:
        """Release the keys."""
        if self._settings is not None:
            self._settings.events.disconnect(self._on_settings)
            self._settings = None
        self._unbind()

    def printed(self, name: str) -> str:
        """An action's key as a button shows it; empty where it has none."""
        if name in self._bound:
            return _printed(self._bound[name].key)
        return _BY_NAME[name].key if _BY_NAME[name].is_fixed else ""

    def label(self, name: str) -> str:
        """An action's title with its key."""
        return f"{_BY_NAME[name].title}  {self.printed(name)}".rstrip()

    def _on_settings(self) -> None:
        self._bind()
        self.changed.emit()

    def _bind(self) -> None:
        self._unbind()
        wishes = {action.name: getattr(self._settings, action.name, action.key) for action in ACTIONS}
        keys, self.problems = assign_keys(wishes, napari_keys())
        for name, key in keys.items():
            if name not in self._actions:
                continue
            bound = Key(key, self._actions[name])
            if bound.bind(self._viewer):
                self._bound[name] = bound
                self._bind_in_panel(key, self._actions[name])
            else:
                title = _BY_NAME[name].title
                self.problems.append(f"{_printed(key)} belongs to another plugin, so {title} has no key now.")

    def _unbind(self) -> None:
        for key in self._bound.values():
            key.unbind()
        self._bound.clear()
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts.clear()

    def _bind_in_panel(self, key: str, action: Callable[[], object]) -> None:
        if self._panel is not None:
            shortcut = QShortcut(QKeyBindingSequence(KeyBinding.from_str(key)), self._panel)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.setAutoRepeat(False)  # a key that is held for a moment too long approves one image
            shortcut.activated.connect(action)
            self._shortcuts.append(shortcut)


def assign_keys(wishes: Mapping[str, str], theirs: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Decide which action gets which key, in napari's spelling, and say why a wish is not met.

    `wishes` has the chosen key of each action, empty for none; `theirs` are napari's, which are never taken. An action
    whose wish cannot be met keeps its own key, if that is still free.
    """
    taken = dict.fromkeys(theirs, "napari")
    taken |= {_normal(SEGMENT_KEY.replace("-", "+")): "Segment", _normal(MASK_KEY.replace("-", "+")): "Mask on/off"}
    keys: dict[str, str] = {}
    problems: list[str] = []
    ours = [action for action in ACTIONS if not action.is_fixed]
    # Keys that stand as they were come first, so that nobody loses one to somebody's new wish.
    for action in sorted(ours, key=lambda action: _normal(wishes.get(action.name, "")) != _normal(action.key)):
        wish = wishes.get(action.name, action.key).strip()
        if not wish:
            continue
        key = _normal(wish)
        why = f"belongs to {taken.get(key)}" if key else f"is no key; write it like {action.key}"
        if not key or key in taken:
            fallback = _normal(action.key)
            kept = "" if fallback in taken else fallback
            instead = f"it keeps {_printed(kept)}" if kept else "it has none now"
            problems.append(f"The key {wish} of {action.title} {why}, so {instead}. Change it in Preferences.")
            key = kept
        if key:
            keys[action.name] = key
            taken[key] = action.title
    return keys, problems


def key_settings() -> Any:
    """Our keys among the plugin's settings; None where napari, before 0.9, or the manifest has none."""
    try:
        from napari.settings import get_plugin_settings

        return getattr(get_plugin_settings(PLUGIN), CATEGORY, None)
    except (ImportError, KeyError):
        return None


def napari_keys() -> set[str]:
    """Collect napari's keys: those of the viewer, of each kind of layer and of the menus."""
    from napari import layers
    from napari._app_model import get_app_model
    from napari.components import ViewerModel
    from napari.utils.shortcuts import default_shortcuts

    kinds = [ViewerModel, *(getattr(layers, name) for name in layers.__all__)]
    found = {str(key) for kind in kinds for key in getattr(kind, "class_keymap", {})}
    found |= {str(key) for keys in default_shortcuts.values() for key in keys}
    found |= {str(binding.keybinding) for binding in get_app_model().keybindings}
    # File, View, Layers, Plugins, Window, Help
    return {normal for key in found if (normal := _normal(key))} | {f"Alt+{letter}" for letter in "FVLPWH"}


def _normal(key: str) -> str:
    """Spell a key as napari does, modifiers in its order; empty for what is no key."""
    try:
        binding = KeyBinding.from_str(key.strip().replace(" + ", "+"))
    except (ValueError, KeyError, TypeError):
        return ""
    # Two strokes one after the other are no key of ours, and neither is a modifier alone.
    return str(binding) if len(binding.parts) == 1 and str(binding.part0.key) not in _NO_KEYS else ""


def _printed(key: str) -> str:
    arrows = {"Right": "→", "Left": "←", "Up": "↑", "Down": "↓"}
    modifiers, plus, last = key.rpartition("+")
    return f"{modifiers}{plus}{arrows.get(last, last)}"
