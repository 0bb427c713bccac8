"""Every model that was ever learned, kept with its lineage and scores, so that one click goes back."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from napari_wavegms.errors import CheckpointError
from napari_wavegms.finetune.gate import Verdict, judge
from napari_wavegms.finetune.split import worth
from napari_wavegms.model.card import read_card
from napari_wavegms.storage.append_log import KIND, Ledger, Record, now
from napari_wavegms.storage.atomic import atomic_write, explain_os_error
from napari_wavegms.storage.user_data import versions_folder

__all__ = ["STARTING_MODEL", "ModelVersions", "Verdict", "Version", "VersionEntry", "judge", "versions_folder"]

STARTING_MODEL = 0
"""The number that stands for the model before the first version: going back to it puts no version in use."""

_FILE = "versions.jsonl"
_VERSION = "version"
_USE = "use"
_BACK = "back"
_NAME = re.compile(r"v([1-9][0-9]*)\.safetensors")


@dataclass(frozen=True, slots=True)
class Version:
    """One model that was learned.

    Attributes
    ----------
    number : int
        From 1 up.
    parent : str
        What it was learned from: ``v2``, or the name of a model.
    title : str
        How it came about, in a few words: ``Quick, 12 corrections``.
    created : str
        ISO 8601, UTC.
    promoted : bool
        Whether the gate let it through.
    reason : str
        Why, or why not.
    before, after : dict of str to float
        DSC of the current model of that time and of this one, by held-out image.
    size : int
        Bytes of its file.
    """

    number: int
    parent: str
    title: str
    created: str
    promoted: bool
    reason: str
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    size: int = 0

    @property
    def name(self) -> str:
        """Short name: ``v3``."""
        return f"v{self.number}"

    @property
    def dsc(self) -> float | None:
        """Mean DSC on the held-out images of that time; None where there were none."""
        return sum(self.after.values()) / len(self.after) if self.after else None


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """A version as a list shows it."""

    version: Version
    path: Path
    in_use: bool
    missing: bool
    sentence: str


class ModelVersions:
    """The model versions of a folder, which any number of processes may share.

    Parameters
    ----------
    folder : path-like, optional
        `versions_folder()` by default. Made by the first `add`.

    Raises
    ------
    InputError
        If the index cannot be read, or is from a newer version of the program.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = versions_folder() if folder is None else Path(folder)
        self._ledger = Ledger(self.folder / _FILE)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what is damaged or gone, empty when all is well."""
        chain = self._chain()
        wanted = chain.in_use[-1] if chain.in_use else None
        current = self.current()
        if wanted is None or (current is not None and current.number == wanted):
            return self._ledger.warnings
        instead = f"{current.name} is used instead" if current else "the model before the first version is used instead"
        return (*self._ledger.warnings, f"{self._gone(wanted)}; {instead}. Copy the file back, or choose another.")

    def path(self, number: int) -> Path:
        """The file of a version, there or not."""
        return self.folder / f"v{number}.safetensors"

    def versions(self) -> list[Version]:
        """All versions, oldest first, kept ones that were not promoted and those whose file is gone included."""
        return list(self._chain().versions.values())

    def current(self) -> Version | None:
        """The version in use, or the last one before it whose file is there; None for the model before the first."""
        chain = self._chain()
        there = (number for number in reversed(chain.in_use) if self._is_there(chain.versions[number]))
        return next((chain.versions[number] for number in there), None)

    def listing(self) -> list[VersionEntry]:
        """All versions with what a user wants to know, newest first."""
        current = self.current()
        entries = []
        for version in reversed(self.versions()):
            in_use = current is not None and version.number == current.number
            missing = not self._is_there(version)
            sentence = _sentence(version, in_use, missing)
            entries.append(VersionEntry(version, self.path(version.number), in_use, missing, sentence))
        return entries

    def lineage(self, number: int) -> list[Version]:
        """A version behind those that it was learned from, oldest first.

        Raises
        ------
        CheckpointError
            If there is no such version.
        """
        versions = {version.name: version for version in self.versions()}
        line = [self._known(number)]
        while (parent := versions.get(line[0].parent)) is not None and parent.number < line[0].number:
            line.insert(0, parent)
        return line

    def add(
        self,
        model: str | os.PathLike[str] | Callable[[Path], object],
        verdict: Verdict,
        parent: str,
        title: str = "",
        before: Mapping[str, float] | None = None,
        after: Mapping[str, float] | None = None,
    ) -> Version:
        """Keep a model, promoted or not; it is put in use if the verdict says so. On return it is on disk.

        Parameters
        ----------
        model : path-like or callable
            A model file, of which a copy is kept; or what writes one to the path that it is given.
        verdict : Verdict
            What `judge` said.
        parent : str
            What it was learned from: the name of a version or of a model.
        title : str
            How it came about.
        before, after : mapping of str to float, optional
            The scores that were judged.

        Raises
        ------
        CheckpointError
            If the file is no model.
        InputError
            If the disk refuses; then nothing has changed.
        """
        if callable(model):
            write: Callable[[Path], object] = model
        else:
            read_card(model)
            write = partial(shutil.copyfile, model)
        with explain_os_error("The new model was not kept", self.folder), self._ledger.writing():
            self._sweep()
            number = self._next_number()
            kept = self.path(number)
            with atomic_write(kept) as neighbour:
                write(neighbour)
            version = Version(
                number=number,
                parent=parent,
                title=title,
                created=now(),
                promoted=verdict.promote,
                reason=verdict.reason,
                before=_scores(before or {}),
                after=_scores(after or {}),
                size=kept.stat().st_size,
            )
            use = [{KIND: _USE, "number": version.number, "time": now()}] if verdict.promote else []
            try:
                self._ledger.append([{KIND: _VERSION, **asdict(version)}, *use])
            except OSError:
                kept.unlink(missing_ok=True)
                raise
        return version

    def promote(self, number: int) -> Version:
        """Put a version in use, whatever the gate said about it.

        Raises
        ------
        CheckpointError
            If there is no such version, or its file is gone.
        InputError
            If the disk refuses.
        """
        version = self._usable(number)
        self._note(_USE, number)
        return version

    def roll_back(self, to: int | None = None) -> Version | None:
        """Go back to an earlier version.

        Parameters
        ----------
        to : int, optional
            Its number, or `STARTING_MODEL`. By default the one that was in use before the current one.

        Returns
        -------
        Version or None
            What is in use now; None for the model before the first version.

        Raises
        ------
        CheckpointError
            If there is no such version, its file is gone, or nothing to go back from.
        InputError
            If the disk refuses.
        """
        if to is None:
            to = self._one_before()
        version = None if to == STARTING_MODEL else self._usable(to)
        self._note(_BACK, to)
        return version

    def _one_before(self) -> int:
        current = self.current()
        if current is None:
            raise CheckpointError("No version is in use, so there is nothing to go back from. Choose a model.")
        chain = self._chain()
        earlier = chain.in_use[: chain.in_use.index(current.number)]
        there = (number for number in reversed(earlier) if self._is_there(chain.versions[number]))
        return next(there, STARTING_MODEL)

    def _note(self, kind: str, number: int) -> None:
        with explain_os_error("The choice of the model was not kept", self.folder), self._ledger.writing():
            self._ledger.append([{KIND: kind, "number": number, "time": now()}])

    def _known(self, number: int) -> Version:
        versions = self._chain().versions
        if number not in versions:
            names = ", ".join(version.name for version in versions.values()) or "none"
            raise CheckpointError(f"There is no version v{number}; there are {names}.")
        return versions[number]

    def _usable(self, number: int) -> Version:
        version = self._known(number)
        if not self._is_there(version):
            raise CheckpointError(f"{self._gone(number)}. Copy the file back, or choose another version.")
        return version

    def _is_there(self, version: Version) -> bool:
        try:
            return self.path(version.number).stat().st_size == version.size
        except OSError:
            return False

    def _gone(self, number: int) -> str:
        path = self.path(number)
        return f"The file of v{number} is {'cut short' if path.is_file() else 'gone'} ({path})"

    def _next_number(self) -> int:
        """Above all that are listed or lie there: no file is ever written over, whatever became of its line."""
        lying = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        numbers = [int(match[1]) for match in lying if match]
        return max([*numbers, *self._chain().versions], default=0) + 1

    def _sweep(self) -> None:
        for leftover in self.folder.glob(".v*-*.safetensors"):
            with suppress(OSError):
                leftover.unlink()

    def _chain(self) -> _Chain:
        return _Chain(self._ledger.read())


class _Chain:
    """What the lines of the index come to: the versions, and those in use with the way back below the last."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.versions: dict[int, Version] = {}
        self.in_use: list[int] = []
        for record in records:
            if record[KIND] == _VERSION and (version := _read(record)) is not None:
                self.versions[version.number] = version
            elif record[KIND] in (_USE, _BACK):
                self._use(record)

    def _use(self, record: Record) -> None:
        number = record.get("number")
        if not isinstance(number, int):
            return
        if record[KIND] == _BACK and number == STARTING_MODEL:
            self.in_use.clear()
        elif number in self.versions:
            if number in self.in_use:
                keep = self.in_use.index(number)
                # Going back forgets what came after; using again an earlier one puts it on top.
                self.in_use = self.in_use[:keep] if record[KIND] == _BACK else [n for n in self.in_use if n != number]
            self.in_use.append(number)


def _read(record: Record) -> Version | None:
    """The version in a line; None where the line lacks something."""
    try:
        return Version(
            number=int(record["number"]),
            parent=str(record.get("parent", "")),
            title=str(record.get("title", "")),
            created=str(record.get("created", "")),
            promoted=record["promoted"] is True,
            reason=str(record.get("reason", "")),
            before=_scores(record.get("before", {})),
            after=_scores(record.get("after", {})),
            size=int(record["size"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Those that are numbers; JSON has no others."""
    return {str(name): float(score) for name, score in scores.items() if math.isfinite(score)}


def _sentence(version: Version, in_use: bool, missing: bool) -> str:
    score = "no score" if version.dsc is None else f"{version.dsc:.2f} {worth(len(version.after))}"
    state = (
        "its file is gone or cut short"
        if missing
        else "in use"
        if in_use
        else ""
        if version.promoted
        else version.reason
    )
    return f"{version.name}: {score}{f'; {state}' if state else ''}"
