"""Kill the program at random moments, again and again, and count what was said to be kept and is not there.

    python benchmarks/kills.py [--kills 200] [--seed 2333] [--home FOLDER]

A child process paints strokes, approves masks, notes what became of images, keeps model versions, promotes them and
rolls back, in random order, and tells after each of them that it is kept. It is killed (SIGKILL) at a random moment,
and the next child goes on in the same folder. After each kill everything that was told so far must be there, bit by
bit, nothing may be half there, and the journal's chains must verify.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import select
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_wavegms.corrections.records import Approval
from napari_wavegms.corrections.store import CorrectionStore
from napari_wavegms.files.labels import smallest_labels
from napari_wavegms.finetune.gate import judge
from napari_wavegms.finetune.versions import STARTING_MODEL, ModelVersions
from napari_wavegms.journal.journal import Journal
from napari_wavegms.journal.records import EditTarget
from napari_wavegms.journal.writer import JournalWriter
from napari_wavegms.model.card import HEADER_KEY, ModelCard
from napari_wavegms.storage.content_hash import content_hash
from napari_wavegms.storage.writer import Writer
from napari_wavegms.worklist.item import WorklistStates

SHAPE = (96, 128)
LONGEST = 0.8  # seconds between the first word of a child and its death


@dataclass
class Told:
    """What children have said is kept, over all rounds."""

    kills: int = 0
    strokes: dict[str, int] = field(default_factory=dict)
    approvals: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    in_use: int = STARTING_MODEL
    wished: int | None = None  # a choice that was begun and not told to be kept; -1 for a new version
    slowest: float = 0.0  # seconds from a stroke to the disk


def mask_after(image: str, strokes: int) -> np.ndarray:
    """The mask after so many strokes, each of which changes something."""
    rng = np.random.default_rng(int(image, 16))
    mask = np.zeros(SHAPE, np.uint8)
    for stroke in range(1, strokes + 1):
        top, left = rng.integers(0, 80, 2)
        mask[top : top + 15, left : left + 15] = stroke % 251 + 1
    return mask


def approval(seed: int) -> Approval:
    """The correction that a seed stands for; every third one is of an image that was approved before."""
    rng = np.random.default_rng(seed)
    image = np.random.default_rng(seed - seed % 3).integers(0, 65536, (33, 41), np.uint16)
    return Approval(name=f"image {seed % 5}", image=image, mask=rng.integers(0, 2, (33, 41)), prediction=image > 30000)


def model_bytes(seed: int) -> bytes:
    """A model file as small as the format allows."""
    weights = np.random.default_rng(seed).bytes(20_000)
    head = {
        "__metadata__": {HEADER_KEY: json.dumps(ModelCard("tiny").as_dict())},
        "tensor": {"dtype": "U8", "shape": [len(weights)], "data_offsets": [0, len(weights)]},
    }
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + weights


def work(home: Path, number: int, seed: int, report: int) -> None:
    """Do random things, and tell after each that it is kept, until the end comes."""

    def tell(what: str, *values: Any) -> None:
        os.write(report, (json.dumps([what, *values]) + "\n").encode())

    rng = random.Random(f"{seed} {number}")
    writer = Writer()
    journal, store, versions = JournalWriter(Journal(home), writer), CorrectionStore(home), ModelVersions(home)
    states, image, strokes = WorklistStates(home, writer), f"{number:032x}", 0
    journal.begin(EditTarget(image, f"scan {number}", SHAPE), mask_after(image, 0), editor="Ann")
    for step in range(10**6):
        actions = ["stroke", "stroke", "stroke", "approve", "note", "version", "promote", "back"]
        action = rng.choice(actions) if step else "stroke"
        known = [version.number for version in versions.versions()]
        if action == "stroke":
            strokes, start = strokes + 1, time.perf_counter()
            journal.submit(image, mask_after(image, strokes), editor="Ann", active_seconds=1)
            assert journal.flush()
            tell("stroke", image, strokes, time.perf_counter() - start)
        elif action == "approve":
            store.approve(approval(1000 * number + step))
            tell("approve", 1000 * number + step)
        elif action == "note":
            states.note("scans", f"scan {rng.randrange(9)}", {"seconds": 1000 * number + step})
            states.note("scans", "last", {"seconds": 1000 * number + step})
            assert writer.flush()
            tell("note", "last", 1000 * number + step)
        elif action == "version":
            verdict = judge({"a": 0.1}, {"a": 0.9})
            tell("wish", -1)
            made = versions.add(lambda path: path.write_bytes(model_bytes(0)), verdict, "default")
            tell("version", made.number)
        elif action == "promote" and known:
            wished = rng.choice(known)
            tell("wish", wished)
            tell("use", versions.promote(wished).number)
        elif action == "back" and known:
            back = rng.choice([STARTING_MODEL, *known])
            tell("wish", back)
            versions.roll_back(back)
            tell("use", back)


def kill_once(home: Path, number: int, seed: int, told: Told) -> None:
    """Let a child work for a random time and kill it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(home, number, seed, writing)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as reports:
        first = reports.readline()
        assert first, "the child failed before it said anything"
        select.select([], [], [], random.Random(f"{number} {seed}").uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        lines = [json.loads(line) for line in (first, *reports) if line.endswith(b"\n")]
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child failed"
    told.kills, told.wished = told.kills + 1, None
    for what, *values in lines:
        if what == "stroke":
            told.strokes[values[0]], told.slowest = values[1], max(told.slowest, values[2])
        elif what == "approve":
            told.approvals.append(values[0])
        elif what == "note":
            told.notes[values[0]] = values[1]
        elif what == "wish":
            told.wished = values[0]
        else:
            told.in_use, told.wished = values[0], None
            told.versions += [values[0]] if what == "version" else []


def lost(home: Path, told: Told, latest: str) -> list[str]:
    """What was said to be kept and is not, and what is half there."""
    missing = []
    journal, store, versions = Journal(home), CorrectionStore(home), ModelVersions(home)
    for image in journal.images():
        missing += journal.verify(image)
    for left in journal.unfinished():
        if not np.array_equal(journal.restore(left.target.image), mask_after(left.target.image, left.upto)):
            missing.append(f"the mask of {left.target.name}")
    strokes = told.strokes.get(latest, 0)
    for number in range(1, strokes + 1):
        if not np.array_equal(journal.restore(latest, number), mask_after(latest, number)):
            missing.append(f"stroke {number} of {latest}")
    counted = {image: len(journal.edits(image)) for image in told.strokes}
    missing += [f"strokes of {image}" for image, count in told.strokes.items() if counted[image] < count]
    history = {(kept.image, kept.mask): kept for kept in store.history()}
    for seed in told.approvals:
        wanted = approval(seed)
        kept = history.get((content_hash(wanted.image), content_hash(smallest_labels(wanted.mask))))
        if kept is None or not np.array_equal(store.load(kept).mask, wanted.mask):
            missing.append(f"approval {seed}")
    missing += [f"pixels of {kept.name}" for kept in history.values() if store.load(kept).image.shape != (33, 41)]
    listed = versions.listing()
    missing += [f"version {number}" for number in {*told.versions} - {entry.version.number for entry in listed}]
    missing += [f"file of {entry.version.name}" for entry in listed if entry.path.read_bytes() != model_bytes(0)]
    current = versions.current()
    in_use = STARTING_MODEL if current is None else current.number
    newest = max((entry.version.number for entry in listed), default=0)
    if in_use not in (told.in_use, newest if told.wished == -1 else told.wished):
        missing.append(f"v{told.in_use}, which was in use; it is v{in_use}")
    told.in_use = in_use
    states = WorklistStates(home).read("scans")
    missing += [f"note {note}" for name, note in told.notes.items() if states[name]["seconds"] < note]
    # Killed between a version's file and its record, the file is taken up later, which is said; nobody was told of it.
    told_of = [said for said in versions.warnings if any(re.search(rf"\bv{n}\b", said) for n in told.versions)]
    missing += [*store.warnings, *told_of]
    return missing


def play(home: Path, kills: int, seed: int) -> tuple[Told, list[str]]:
    """Kill so many times; gives what was told and what of it was lost."""
    told, missing = Told(), []
    for number in range(1, kills + 1):
        kill_once(home, number, seed, told)
        missing += lost(home, told, f"{number:032x}")
    return told, missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2333)
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told, missing = play(options.home or Path(folder), options.kills, options.seed)
    sys.stdout.write(
        f"{told.kills} kills; told: {sum(told.strokes.values())} strokes on {len(told.strokes)} images, "
        f"{len(told.approvals)} approvals, {len(told.versions)} versions; slowest stroke {told.slowest:.2f} s; "
        f"lost or half there: {len(missing)}\n"
    )
    for sentence in missing:
        sys.stdout.write(f"  {sentence}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
