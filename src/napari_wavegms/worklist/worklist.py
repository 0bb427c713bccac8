"""The images of a review, the state of each, and where the user stopped.

States belong to folder and file name, whether the image was opened with its folder or in a list of files. Nothing is
ever written into the folder itself.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import find_images, left_out, stem_of
from napari_wavegms.files.pairing import masks_of
from napari_wavegms.storage.database import now
from napari_wavegms.worklist.item import STATES, Item, State, WorklistStates, checked_changes

if TYPE_CHECKING:
    from napari_wavegms.corrections.store import Correction, CorrectionStore

_TURN = "turn"  # counts what was shown, so that the last one is known whatever the clock says
_BLANK = Item("", "")
# What is true of the pixels, and of no others under the same name.
_OF_PIXELS = ("state", "score", "uncertainty", "seconds", "light", "size", "unit")
_UNTOUCHED = ("todo", "predicted")


@dataclass(frozen=True, slots=True)
class OpenLayer:
    """An image that is open in the viewer."""

    key: str  # the layer's id
    name: str
    content: str = ""  # content hash of its pixels, by which it is known again; empty where it need not be


@dataclass(frozen=True, slots=True)
class Difference:
    """Names of the files that came and went since the last look."""

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class Worklist:
    """Images with their states, in the order of their folder.

    Created by `of_folder`, `of_files` or `of_layers`, and used by one thread. Changes are on disk when a method returns
    or, if the states have a writer, soon after. Methods raise `InputError` and change nothing if the disk fails.
    `folder` is the one that was opened, and `left_out` says what else it holds; `since` is the number (see
    `Item.shown`) of the last image shown before this sitting.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "scan_1.png").write_bytes(b""), (folder / "scan_2.png").write_bytes(b"")
    >>> worklist = Worklist.of_folder(folder, states=WorklistStates(tempfile.mkdtemp()))
    >>> first = worklist.items()[0]
    >>> worklist.set(first.key, state="approved").name
    'scan_1'
    """

    def __init__(
        self,
        find: Callable[[], Iterable[Item]],
        store: CorrectionStore | None,
        states: WorklistStates | None,
        folder: Path | None = None,
        left_out: Iterable[str] = (),
    ) -> None:
        self.folder = folder
        self.left_out = tuple(left_out)
        self._find = find
        self._store = store
        self._states = WorklistStates() if states is None else states
        self._records: dict[str, dict[str, dict[str, Any]]] = {}
        self._damaged: list[str] = []
        self._items: dict[str, Item] = {}
        self._last_shown = 0
        self._read()
        self._turn, self._current = self._stopped_at()
        self.since = self._last_shown

    @classmethod
    def of_folder(
        cls, folder: str | os.PathLike[str], store: CorrectionStore | None = None, states: WorklistStates | None = None
    ) -> Worklist:
        """Open the images of a folder, those of folders within left out, and go on where the last review stopped.

        `store` decides what is approved, in case of a kill between an approval and saving the state. Raises
        `InputError` if there is no such folder, no image in it, or states that cannot be read.
        """
        place = Path(folder).resolve()
        if not place.is_dir():
            raise InputError(f"There is no folder {place}; choose the one that holds the images.")
        return cls(lambda: _items_of(find_images(place)), store, states, place, left_out(place))

    @classmethod
    def of_files(
        cls,
        files: Iterable[str | os.PathLike[str]],
        store: CorrectionStore | None = None,
        states: WorklistStates | None = None,
    ) -> Worklist:
        """Open a list of files, in its order; the same file twice counts once. Otherwise as `of_folder`."""
        paths = list(dict.fromkeys(_resolved(find_images(files))))
        return cls(lambda: _items_of([path for path in paths if path.exists()]), store, states)

    @classmethod
    def of_layers(
        cls, layers: Iterable[OpenLayer], store: CorrectionStore | None = None, states: WorklistStates | None = None
    ) -> Worklist:
        """Open images that are open in the viewer; they are known again by their content, whatever they are called."""
        items = [Item(key=layer.key, name=layer.name, content=layer.content) for layer in layers]
        if not items:
            raise InputError("No image is open. Open one, or choose a folder.")
        return cls(lambda: items, store, states)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    @property
    def current(self) -> str | None:
        """The key of the image that was shown last, in an earlier sitting too; None before the first."""
        return self._current if self._current in self._items else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about damaged states."""
        damaged = [f"The saved state of {name} is damaged and was ignored." for name in self._damaged]
        return (*self._states.database.warnings, *damaged)

    @property
    def gone(self) -> tuple[str, ...]:
        """Names of images of the folder that a person had worked on and whose files are no longer there.

        Their states are kept, should the files come back.
        """
        if self.folder is None:
            return ()
        here = {item.path.name for item in self._items.values() if item.path is not None}
        noted = self._record(str(self.folder / "x")[:-1])  # as `_place` spells a folder
        touched = (name for name, values in noted.items() if values.get("state", "todo") not in _UNTOUCHED)
        return tuple(stem_of(name) for name in touched if name not in here)

    def items(self) -> tuple[Item, ...]:
        """All images, in the order of the folder."""
        return tuple(self._items.values())

    def item(self, key: str) -> Item:
        """One image; raises `InputError` if it is not, or no longer, in the list."""
        try:
            return self._items[key]
        except KeyError:
            raise InputError(f"{Path(key).name} is not in this list of images. Open the list again.") from None

    def counts(self) -> dict[State, int]:
        """How many images are in each state."""
        counted = Counter(item.state for item in self._items.values())
        return {state: counted[state] for state in STATES}

    def set(self, key: str, **changes: Any) -> Item:
        """Change an image's state, score, uncertainty, seconds, content or light; the time follows the state by itself.

        Returns the item, which is another one only if something has changed.
        """
        item = self.item(key)
        checked = checked_changes(item, changes)
        new = {name: value for name, value in checked.items() if value != getattr(item, name)}
        if new:
            self._note(item, {"time": now(), **new} if "state" in new else new)
        return self._items[key]

    def identify(self, key: str, content: str) -> Item:
        """Tell what pixels an image was found to have, when it is read.

        A file that holds other pixels than when its state was noted is another image, and is to do again. A layer
        takes up the state that was noted for its pixels.
        """
        item = self.item(key)
        if item.path is None and not item.content:
            self._items[key] = item = self._with_record(item, "", content)
        if item.content in ("", content):
            return self.set(key, content=content)
        return self.set(key, **{name: getattr(_BLANK, name) for name in _OF_PIXELS}, content=content)

    def go_to(self, key: str) -> Item:
        """Note that an image is shown now; the review is taken up there when it is opened again.

        An image that was shown in this sitting already keeps its number, so that going back and forth changes no order.
        """
        shown = self.item(key).shown
        if shown <= self.since:
            shown = self._last_shown + 1
        if key != self._current or shown != self._items[key].shown:
            self._turn += 1
            self._note(self._items[key], {"shown": shown}, **{_TURN: self._turn})
            self._current, self._last_shown = key, max(shown, self._last_shown)
        return self._items[key]

    def begin_again(self) -> None:
        """Count what is shown from here on as a new sitting: all others come first, then these once more."""
        self.since = self._last_shown

    def refresh(self) -> Difference:
        """Look again which files are there, and what other windows have noted; raises if no image is left."""
        before = dict(self._items)
        self._read()
        return Difference(
            new=tuple(item.name for key, item in self._items.items() if key not in before),
            gone=tuple(item.name for key, item in before.items() if key not in self._items),
        )

    def follow_store(self) -> list[str]:
        """Take up approvals that were made, withdrawn or forgotten elsewhere; gives the keys of these images."""
        if self._store is None:
            return []
        items = _as_the_store_says(self._items.values(), self._store)
        changed = [item for item in items if item is not self._items[item.key]]
        self._items.update((item.key, item) for item in changed)
        return [item.key for item in changed]

    def _read(self) -> None:
        self._records.clear()
        self._damaged.clear()
        items = [self._remembered(item) for item in self._find()]
        if self._store is not None:
            items = _as_the_store_says(items, self._store)
        self._items = {item.key: item for item in items}
        self._last_shown = max((item.shown for item in items), default=0)

    def _remembered(self, item: Item) -> Item:
        known = self._items.get(item.key)
        if item.path is None and known is not None:  # what was learned about a layer's pixels since it was opened
            item = known
        return self._with_record(item, *_place(item))

    def _with_record(self, item: Item, folder: str, name: str) -> Item:
        try:
            return item.with_record(self._record(folder).get(name, {}))
        except ValueError:
            self._damaged.append(item.name)
            return item

    def _record(self, folder: str) -> dict[str, dict[str, Any]]:
        if folder not in self._records:
            self._records[folder] = self._states.read(folder)
        return self._records[folder]

    def _note(self, item: Item, change: Mapping[str, Any], **beside: int) -> None:
        """Note a change of an item, and what is noted beside it."""
        after = replace(item, **change)
        folder, name = _place(after)
        if name:
            self._states.note(folder, name, {**change, **beside})
            self._record(folder).setdefault(name, {}).update(change, **beside)
        self._items[item.key] = after

    def _stopped_at(self) -> tuple[int, str | None]:
        """The last turn, and the image that was shown then."""
        places = ((*_place(item), item) for item in self._items.values())
        turns = [(self._record(folder).get(name, {}).get(_TURN), item) for folder, name, item in places if item.shown]
        found = [(turn if isinstance(turn, int) and turn < 2**53 else 0, item.shown, item.key) for turn, item in turns]
        turn, _, key = max(found, default=(0, 0, None))
        return turn, key


def _place(item: Item) -> tuple[str, str]:
    """Give the folder whose record holds the item, none for a layer, and its name there, none while it is unknown."""
    if item.path is None:
        return "", item.content
    name = item.path.name
    return item.key[: -len(name)], name  # strings, because ten thousand paths take ten times longer


def _items_of(paths: Sequence[Path]) -> list[Item]:
    """Give an item for each file, called by as much of its path as it takes to tell it from the others."""
    masks = masks_of(paths)
    taken = {mask for found in masks.values() for mask in found}
    paths = [path for path in paths if path not in taken]
    stems = [stem_of(path) for path in paths]
    doubled = {stem for stem, count in Counter(stems).items() if count > 1}
    names = [path.name if stem in doubled else stem for path, stem in zip(paths, stems, strict=True)]
    twice = {name for name, count in Counter(names).items() if count > 1}
    return [
        Item(str(path), f"{path.parent.name}/{name}" if name in twice else name, path, masks=masks.get(path, ()))
        for path, name in zip(paths, names, strict=True)
    ]


def _resolved(paths: Iterable[Path]) -> Iterator[Path]:
    """Give each file by its folder's real place."""
    real = cache(Path.resolve)
    return (real(path.parent) / path.name for path in paths)


def _as_the_store_says(items: Iterable[Item], store: CorrectionStore) -> list[Item]:
    """Items, with the approvals that the store knows.

    Approvals are saved in the store first, so after a kill in between the two may differ.
    """
    kept = store.corrections()
    by_content = {correction.image: correction for correction in kept}
    of_files = [correction for correction in kept if correction.source]
    by_source: dict[str, list[Correction]] = {}
    for correction, path in zip(of_files, _resolved(Path(each.source) for each in of_files), strict=True):
        by_source.setdefault(str(path), []).append(correction)
    return [_as_kept(item, by_content.get(item.content), by_source.get(item.key, []), store) for item in items]


def _as_kept(item: Item, correction: Correction | None, of_file: list[Correction], store: CorrectionStore) -> Item:
    if correction is None and not item.content:  # pixels that were never read: the file's name has to do
        correction = next((kept for kept in of_file if not kept.plane), None)
    if correction is not None and item.state != "approved":
        return replace(item, state="approved", content=correction.image, time=correction.time)
    # Planes of a stack are kept one by one, under hashes of their own; and a layer has no file to ask for.
    if correction is None and item.state == "approved" and item.path is not None and not of_file:
        is_forgotten = bool(item.content) and not store.history(item.content)
        return replace(item, state="todo" if is_forgotten else "corrected")
    return item
