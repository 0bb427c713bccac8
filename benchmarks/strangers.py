"""Files that may come from anybody, changed in many ways: how many were tried, and what the program said.

    python benchmarks/strangers.py [--tries N] [--seed S]

A user's folder is made with corrections, journalled edits, two model versions, a worklist, settings and a model. Then
one of its files is changed: a cell or a JSON value of the database, a value of the settings or of a model's card, or
bytes of any of them, which are cut, overwritten or replaced. After each change everything that reads the folder is
called: `wavegms models`, `corrections`, `export-masks`, the journal, the versions, the worklist, the settings. Counted
are the calls that ended in a sentence of ours and those that raised anything else; sentences that are longer than they
may be or hold control characters; calls that took long; and the most memory that the process has used.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import sqlite3
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

DEEP = "[" * 100_000 + "]" * 100_000
VALUES: list[Any] = [
    None, True, -1, 0, 10**30, 10**400, 1e308, "", "x" * 200_000, "\ud800", "\x1b[2J\x1b]0;x\x07", "\0", [], {},
    [1, 2, 3], {"a": {"b": 1}}, "../../etc/passwd", "2026-01-01T00:00:00", [-1, 5], [10**9, 10**9],
    "NAN", "INF", "DEEP",
]  # fmt: skip
CELLS: list[Any] = [
    None, 2**63 - 1, -(2**63), 1.5, float("inf"), "", "x", "{}", "[]", "null", DEEP, "x" * 200_000, b"\xff\xfe\0", b"",
    "\x1b[2J", "1e999", '{"a":NaN}', "9" * 5000, 0, -1,
]  # fmt: skip
LONGEST = 700  # characters of a sentence: 300 of the file's own, and ours
SLOW = 2.0  # seconds
Change = tuple[str, Callable[[], object]]


class Home:
    """A user's folder, and the copy of it that is damaged."""

    def __init__(self, scratch: Path) -> None:
        self.intact, self.folder = scratch / "intact", scratch / "home"
        os.environ["WAVEGMS_HOME"] = str(self.folder)
        self._fill()
        self.folder.rename(self.intact)
        shutil.copytree(self.intact, self.folder)
        self.database, self.settings = self.folder / "wavegms.sqlite3", self.folder / "settings.json"
        self.model = self.folder / "models" / "mine.safetensors"

    def _fill(self) -> None:
        from PIL import Image

        from napari_wavegms.corrections.store import Approval, CorrectionStore
        from napari_wavegms.finetune.gate import Verdict
        from napari_wavegms.finetune.versions import ModelVersions
        from napari_wavegms.journal.journal import Journal
        from napari_wavegms.journal.records import EditTarget
        from napari_wavegms.model.registry import resolve
        from napari_wavegms.storage.content_hash import content_hash
        from napari_wavegms.storage.user_data import note_folder, set_editor_name
        from napari_wavegms.worklist.item import WorklistStates
        from napari_wavegms.worklist.worklist import Worklist

        images, store, journal = self.folder / "images", CorrectionStore(), Journal()
        images.mkdir(parents=True)
        for number in range(3):
            image = np.random.default_rng(number).integers(0, 255, (12, 16), dtype=np.uint8)
            Image.fromarray(image).save(images / f"scan_{number}.png")
            mask, content = np.zeros(image.shape, np.uint8), content_hash(image)
            journal.begin(EditTarget(content, f"scan_{number}", mask.shape), mask, editor="Ann")
            mask[2 + number, 3:8] = 1
            journal.record(content, mask, editor="Ann")
            store.approve(Approval(name=f"scan_{number}", image=image, mask=mask, prediction=np.zeros_like(mask)))
        journal.release()
        small = resolve("breast-ultrasound")
        for _ in range(2):
            ModelVersions().add(partial(shutil.copy, small), Verdict("first"), "breast-ultrasound")
        ModelVersions().roll_back(1)
        work = Worklist.of_folder(images, store, WorklistStates())
        work.set(work.items()[0].key, state="corrected")
        set_editor_name("Ann")
        note_folder(images)
        (self.folder / "models").mkdir(exist_ok=True)
        shutil.copy(small, self.folder / "models" / "mine.safetensors")

    def restore(self) -> None:
        """Put back what a change may have changed."""
        for file in (self.database, self.settings, self.model):
            shutil.copy(self.intact / file.relative_to(self.folder), file)
        for file in self.folder.glob("*.sqlite3-*"):
            file.unlink()
        shutil.rmtree(self.folder / "exported", ignore_errors=True)

    def readers(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Everything that reads the folder."""
        from napari_wavegms import cli
        from napari_wavegms.corrections.store import CorrectionStore
        from napari_wavegms.finetune.versions import ModelVersions
        from napari_wavegms.journal.export import export_csv
        from napari_wavegms.journal.journal import Journal
        from napari_wavegms.storage.user_data import editor_name, recent_folders
        from napari_wavegms.worklist.item import WorklistStates
        from napari_wavegms.worklist.worklist import Worklist

        out = self.folder / "exported"
        for words in (
            ["models"],
            ["models", "--json"],
            ["info", str(self.model)],
            ["corrections", "list"],
            ["corrections", "verify"],
            ["corrections", "export", str(out / "corrections")],
            ["export-masks", "--all", "--output", str(out / "masks")],
        ):
            yield " ".join(words[:2]), lambda words=words: cli.main(words)
        yield "versions in use", lambda: ModelVersions().current()
        yield "unfinished edits", lambda: [Journal().restore(left.target.image) for left in Journal().unfinished()]
        yield "edits as CSV", lambda: [export_csv(Journal(), self.folder / "edits.csv")]
        yield (
            "worklist",
            lambda: Worklist.of_folder(self.folder / "images", CorrectionStore(), WorklistStates()).items(),
        )
        yield "settings", lambda: (editor_name(), recent_folders())

    def changes(self, chance: random.Random) -> dict[str, list[Change]]:
        """What can be changed, by its kind."""
        return {
            "cell of the database": list(self._cells()),
            "value in the database": list(self._records()),
            "value of the settings": list(self._settings()),
            "value of a card": list(self._card()),
            "bytes of the database": list(self._bytes(self.database, chance)),
            "bytes of the settings": list(self._bytes(self.settings, chance)),
            "bytes of a model": list(self._bytes(self.model, chance)),
        }

    def _rows(self) -> list[tuple[str, list[str], tuple[Any, ...]]]:
        with closing(sqlite3.connect(self.intact / self.database.name)) as base:
            tables = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found = []
            for table in tables:
                columns = [column[1] for column in base.execute(f"PRAGMA table_info({table})")]
                row = base.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
                if row is not None and not table.startswith("sqlite"):
                    found.append((table, columns, row))
        return found

    def _cells(self) -> Iterator[Change]:
        for table, columns, row in self._rows():
            for column in columns:
                for value in CELLS:
                    yield f"{table}.{column}", lambda a=(table, columns, row, column, value): self._put(*a)

    def _records(self) -> Iterator[Change]:
        for table, columns, row in self._rows():
            if "record" in columns:
                for at, text in changed(json.loads(row[columns.index("record")])):
                    yield f"{table}.record{at}", lambda a=(table, columns, row, "record", text): self._put(*a)

    def _settings(self) -> Iterator[Change]:
        for at, text in changed(json.loads((self.intact / "settings.json").read_text("utf-8"))):
            yield f"settings{at}", lambda text=text: self.settings.write_text(text, "utf-8", "surrogatepass")

    def _card(self) -> Iterator[Change]:
        from napari_wavegms.model.card import HEADER_KEY

        data = (self.intact / "models" / self.model.name).read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        for at, text in changed(json.loads(header["__metadata__"][HEADER_KEY])):

            def put(text: str = text) -> None:
                new = json.dumps(header | {"__metadata__": {HEADER_KEY: text}}).encode("utf-8", "surrogatepass")
                self.model.write_bytes(len(new).to_bytes(8, "little") + new + data[end:])

            yield f"card{at}", put

    def _bytes(self, file: Path, chance: random.Random) -> Iterator[Change]:
        data = (self.intact / file.relative_to(self.folder)).read_bytes()
        for size in (0, 1, 16, 100, len(data) // 2, len(data) - 1):
            yield f"{file.name} cut", lambda size=size: file.write_bytes(data[:size])
        for other in (b"garbage" * 1000, b"\0" * len(data), chance.randbytes(len(data)), data + b"x" * 5000):
            yield f"{file.name} replaced", lambda other=other: file.write_bytes(other)
        for _ in range(200):
            flips = [(chance.randrange(len(data)), chance.randrange(256)) for _ in range(chance.choice((1, 4, 50)))]

            def flip(flips: list[tuple[int, int]] = flips) -> None:
                new = bytearray(data)
                for at, value in flips:
                    new[at] = value
                file.write_bytes(new)

            yield f"{file.name} flipped", flip

    def _put(self, table: str, columns: list[str], row: tuple[Any, ...], column: str, value: Any) -> None:
        with closing(sqlite3.connect(self.database, isolation_level=None)) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            found = " AND ".join(f"{name} IS ?" for name in columns)
            with suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):  # SQLite itself refuses it
                database.execute(f"UPDATE {table} SET {column} = ? WHERE {found}", (value, *row))


def changed(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str, str]]:
    """A JSON document with one of its values replaced, in every place and by every hostile value."""

    def places(value: Any, at: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
        yield at
        inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
        for key, below in inner:
            yield from places(below, (*at, key))

    for place in places(value, at):
        for new in VALUES:
            copy = [json.loads(json.dumps(value))]
            inside: Any = copy
            for key in (0, *place)[:-1]:
                inside = inside[key]
            inside[(0, *place)[-1]] = new
            text = json.dumps(copy[0]).replace('"NAN"', "NaN").replace('"INF"', "Infinity").replace('"DEEP"', DEEP)
            yield ".".join(map(str, ("", *place))), text


def main() -> None:
    from napari_wavegms.errors import WaveGMSError

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=100, help="of each kind of change, at most (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, faults, notes = random.Random(options.seed), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        home = Home(Path(temporary))
        print("| kind | changes | calls | sentences | anything else |\n| --- | --- | --- | --- | --- |")
        for kind, changes in home.changes(chance).items():
            counts = Counter[str]()
            for label, change in chance.sample(changes, min(options.tries, len(changes))):
                home.restore()
                change()
                counts["changes"] += 1
                for name, read in home.readers():
                    counts["calls"] += 1
                    said, begin = io.StringIO(), time.perf_counter()
                    try:
                        with redirect_stdout(said), redirect_stderr(said):
                            answer = read()
                        counts["sentences"] += isinstance(answer, int) and answer != 0
                    except WaveGMSError as error:
                        counts["sentences"] += 1
                        said.write(str(error))
                    except BaseException as error:
                        counts["faults"] += 1
                        ours = [
                            at for at in traceback.extract_tb(error.__traceback__) if "napari_wavegms" in at.filename
                        ]
                        faults[f"{label}, {name}: {type(error).__name__} at {Path(ours[-1].filename).name}"] += 1
                    if time.perf_counter() - begin > SLOW:
                        notes[f"slower than {SLOW:.0f} s: {name}"] += 1
                    if any(mark in said.getvalue() for mark in "\x1b\x07\0"):
                        notes[f"control characters: {label}, {name}"] += 1
                    if "--json" not in name and any(len(line) > LONGEST for line in said.getvalue().splitlines()):
                        notes[f"longer than {LONGEST} characters: {label}, {name}"] += 1
            print(f"| {kind} | {counts['changes']} | {counts['calls']} | {counts['sentences']} | {counts['faults']} |")
    print(f"\nPeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB.")
    for words, count in (faults + notes).most_common(40):
        print(f"{count} × {words}")


if __name__ == "__main__":
    main()
