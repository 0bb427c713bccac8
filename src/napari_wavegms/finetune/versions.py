"""Every model that was ever learned, kept with its lineage and scores, so that one click goes back."""

from __future__ import annotations

import math
import os
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.finetune.gate import Verdict
from napari_wavegms.model.card import read_card
from napari_wavegms.storage.atomic import atomic_write, explain_os_error, sync_folder, unfinished
from napari_wavegms.storage.database import Database, from_json, now
from napari_wavegms.storage.plain import to_json
from napari_wavegms.wording import counted, listed, shortened

STARTING_MODEL = 0
"""The number that stands for the model before the first version: going back to it puts no version in use."""

_NAME = re.compile(r"v([1-9][0-9]*)\.safetensors")


@dataclass(frozen=True, slots=True)
class Version:
    """One model that was learned."""

    number: int  # from 1 up
    parent: str  # what it was learned from: v2, or the name of a model
    title: str  # how it came about, in a few words: Quick, 12 corrections
    created: str  # ISO 8601, UTC
    promoted: bool  # whether the gate put it in use
    reason: str  # the verdict's word: clearly better
    before: dict[str, float] = field(default_factory=dict)  # DSC of the model in use at that time, by test image
    after: dict[str, float] = field(default_factory=dict)  # and of this one
    size: int = 0  # bytes of its file

    @property
    def name(self) -> str:
        """Short name: ``v3``."""
        return f"v{self.number}"

    @property
    def dsc(self) -> float | None:
        """Mean DSC on the test images of that time; None where there were none."""
        return sum(self.after.values()) / len(self.after) if self.after else None

    @property
    def score(self) -> str:
        """Its score in words: ``DSC 0.74 on 12 test images``."""
        return "not measured" if self.dsc is None else f"DSC {self.dsc:.2f} on {counted(len(self.after), 'test image')}"


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """A version as a list shows it."""

    version: Version
    path: Path
    in_use: bool
    missing: bool
    sentence: str


class ModelVersions:
    """The model versions of a user's folder, which any number of processes may share.

    Where the database or the disk refuses, every method raises `InputError` with a sentence, and nothing has changed.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self.database = Database(home)
        self.folder = self.database.folder / "versions"  # where the models lie; made by the first `add`

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what is damaged or gone, empty when all is well."""
        _, in_use, found = self._chain()
        sentences = [*self.database.warnings]
        if found:
            sentences.append(
                f"{self.database.path} has lost {listed(version.name for version in found)}, taken up again from "
                f"{self.folder} without scores. Choose the version to use, or copy the database from a backup."
            )
        current = self.current()
        if in_use and (current is None or current.number != in_use[-1]):
            instead = f"{current.name} is" if current else "the model before the first version is"
            sentences.append(
                f"{self._gone(in_use[-1])}; {instead} used instead. Copy the file back, or choose another."
            )
        return tuple(sentences)

    def path(self, number: int) -> Path:
        """The file of a version, there or not."""
        return self.folder / f"v{number}.safetensors"

    def versions(self) -> list[Version]:
        """All versions, oldest first, those that were never in use or whose file is gone included."""
        return list(self._chain()[0].values())

    def current(self) -> Version | None:
        """The version in use, or the last one before it whose file is there; None for the model before the first."""
        versions, in_use, _ = self._chain()
        return next((versions[number] for number in reversed(in_use) if self._is_there(versions[number])), None)

    def current_path(self) -> Path | None:
        """The file of the version in use; None for the model before the first."""
        current = self.current()
        return None if current is None else self.path(current.number)

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

    def add(
        self,
        write: Callable[[Path], object],
        verdict: Verdict,
        parent: str,
        title: str = "",
        before: Mapping[str, float] | None = None,
        after: Mapping[str, float] | None = None,
    ) -> Version:
        """Keep a model; it is put in use if the verdict says so. On return it is on disk.

        Parameters
        ----------
        write : callable
            Writes the model file to the path that it is given.
        verdict : Verdict
            What `judge` said.
        parent, title, before, after
            See `Version`.
        """
        scores = _scores(before or {}), _scores(after or {})
        version = Version(0, parent, title, now(), verdict.promote, verdict.word, *scores)
        draft, kept = unfinished(self.folder / "v.safetensors"), None
        failure = "The new model was not kept"
        try:
            # Before the transaction, so that strokes need not wait for it.
            with explain_os_error(failure, self.folder), atomic_write(draft) as neighbour:
                write(neighbour)
            with self.database.write(failure) as connection:
                self._take_up(connection)
                (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM versions").fetchone()
                number = max([*self._lying(), last]) + 1
                version = replace(version, number=number, size=draft.stat().st_size)
                kept = draft.replace(self.path(number))
                sync_folder(self.folder)
                connection.execute("INSERT INTO versions VALUES (?, ?)", (number, to_json(version)))
                if verdict.promote:
                    _choose(connection, "use", number)
        except BaseException:
            for leftover in filter(None, (draft, kept)):
                leftover.unlink(missing_ok=True)
            raise
        return version

    def promote(self, number: int) -> Version:
        """Put a version in use, whatever the gate said; `CheckpointError` if there is none, or its file is gone."""
        return self._choice("use", number)

    def roll_back(self, to: int) -> Version | None:
        """Go back to an earlier version as `promote`, or to `STARTING_MODEL`; None stands for that one."""
        if to != STARTING_MODEL:
            return self._choice("back", to)
        with self.database.write("The choice of the model was not kept") as connection:
            _choose(connection, "back", None)
        return None

    def _choice(self, action: str, number: int) -> Version:
        versions = self._chain()[0]
        if number not in versions:
            names = ", ".join(version.name for version in versions.values()) or "none"
            raise CheckpointError(f"There is no version v{number}; there are {names}.")
        if not self._is_there(versions[number]):
            raise CheckpointError(f"{self._gone(number)}. Copy the file back, or choose another version.")
        with self.database.write("The choice of the model was not kept") as connection:
            self._take_up(connection)
            _choose(connection, action, number)
        return versions[number]

    def _is_there(self, version: Version) -> bool:
        try:
            return self.path(version.number).stat().st_size == version.size
        except OSError:
            return False

    def _gone(self, number: int) -> str:
        path = self.path(number)
        return f"The file of v{number} is {'cut short' if path.is_file() else 'gone'} ({path})"

    def _lying(self) -> list[int]:
        """Numbers of the files that are there: none is ever written over, whatever became of its row."""
        found = (_NAME.fullmatch(path.name) for path in self.folder.glob("v*.safetensors"))
        return sorted(int(match[1]) for match in found if match)

    def _found(self, number: int) -> Version | None:
        """A version of which nothing but the file is left."""
        path = self.path(number)
        with suppress(CheckpointError, OSError):
            card = read_card(path)
            return Version(number, "", card.title, card.created, False, "its record was lost", size=path.stat().st_size)
        return None

    def _take_up(self, connection: sqlite3.Connection) -> None:
        """Make the records again that were lost."""
        for version in self._chain(connection)[2]:
            connection.execute("INSERT OR REPLACE INTO versions VALUES (?, ?)", (version.number, to_json(version)))

    def _chain(
        self, connection: sqlite3.Connection | None = None
    ) -> tuple[dict[int, Version], list[int], list[Version]]:
        """The versions by number, those in use with the way back below the last, and those without a record."""
        with self.database.read() if connection is None else nullcontext(connection) as opened:
            rows = opened.execute("SELECT record FROM versions ORDER BY number").fetchall()
            choices = opened.execute("SELECT action, version FROM version_choices ORDER BY id").fetchall()
        versions: dict[int, Version] = {}
        for (record,) in rows:
            with suppress(InputError):
                version = from_json(Version, record)
                versions[version.number] = version
        found = [self._found(number) for number in self._lying() if number not in versions]
        versions |= {version.number: version for version in found if version}
        versions = dict(sorted(versions.items()))
        in_use: list[int] = []
        for action, number in choices:
            if number is None:
                in_use.clear()
            elif number in versions:
                if number in in_use:
                    keep = in_use.index(number)
                    # Going back forgets what came after; using again an earlier one puts it on top.
                    in_use = in_use[:keep] if action == "back" else [n for n in in_use if n != number]
                in_use.append(number)
        return versions, in_use, [version for version in found if version]


def _choose(connection: sqlite3.Connection, action: str, number: int | None) -> None:
    connection.execute("INSERT INTO version_choices (action, version, time) VALUES (?, ?, ?)", (action, number, now()))


def _scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Those that are numbers; JSON has no others."""
    return {str(name): float(score) for name, score in scores.items() if math.isfinite(score)}


def _sentence(version: Version, in_use: bool, missing: bool) -> str:
    state = "its file is gone or cut short" if missing else "in use" if in_use else version.reason
    return f"{version.name}: {version.score}; {shortened(state)}"
