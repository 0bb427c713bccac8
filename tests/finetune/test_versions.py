"""Every model version is kept, one is in use, and there is always a way back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from napari_wavegms.errors import CheckpointError, InputError
from napari_wavegms.finetune.gate import Verdict, judge
from napari_wavegms.finetune.versions import STARTING_MODEL, ModelVersions, Version
from napari_wavegms.model.card import HEADER_KEY, ModelCard, read_card

BETTER = judge({"a": 0.2, "b": 0.3}, {"a": 0.7, "b": 0.7})
WORSE = judge({"a": 0.7, "b": 0.7}, {"a": 0.2, "b": 0.3})


def model_file(path: Path, content: bytes = b"weights") -> Path:
    """A model file as small as the format allows: a card and one tensor of bytes."""
    header = {
        "__metadata__": {HEADER_KEY: json.dumps(ModelCard("tiny").as_dict())},
        "tensor": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


def copied(file: Path) -> Callable[[Path], object]:
    return partial(shutil.copyfile, file)


def add(versions: ModelVersions, tmp_path: Path, verdict: Verdict = BETTER, parent: str = "default") -> Version:
    source = model_file(tmp_path / "best.safetensors", os.urandom(8))
    return versions.add(copied(source), verdict, parent, title="Quick", before={"a": 0.5}, after={"a": 0.7})


def in_use(versions: ModelVersions) -> str | None:
    current = ModelVersions(versions.database.folder).current()
    assert versions.current() == current
    return None if current is None else current.name


@pytest.fixture
def versions(tmp_path: Path) -> ModelVersions:
    return ModelVersions(tmp_path / "home")


def test_looking_makes_nothing(tmp_data_home: Path) -> None:
    versions = ModelVersions()
    assert versions.folder == tmp_data_home / "versions"
    assert (versions.versions(), versions.listing(), versions.current(), versions.warnings) == ([], [], None, ())
    assert not versions.folder.exists()


def test_a_version_comes_back_bit_by_bit_with_all_that_is_known(versions: ModelVersions, tmp_path: Path) -> None:
    source = model_file(tmp_path / "best.safetensors", b"12345")
    made = versions.add(copied(source), BETTER, "default", "Quick, 3 corrections", {"a": 0.5}, {"a": 0.7})
    [found] = ModelVersions(versions.database.folder).versions()
    assert found == made
    assert (found.name, found.parent, found.title) == ("v1", "default", "Quick, 3 corrections")
    assert (found.before, found.after, found.dsc) == ({"a": 0.5}, {"a": 0.7}, 0.7)
    assert found.promoted
    assert found.reason == "clearly better"
    assert versions.path(1).read_bytes() == source.read_bytes()
    assert source.exists()
    versions.add(model_file, BETTER, "v1")
    assert read_card(versions.path(2)) == read_card(source)


def test_only_what_the_gate_lets_through_is_put_in_use(versions: ModelVersions, tmp_path: Path) -> None:
    assert in_use(versions) is None
    add(versions, tmp_path, WORSE)
    assert in_use(versions) is None
    add(versions, tmp_path)
    assert in_use(versions) == "v2"
    add(versions, tmp_path, WORSE)
    assert in_use(versions) == "v2"


def test_the_list_says_what_became_of_each(versions: ModelVersions, tmp_path: Path) -> None:
    source = model_file(tmp_path / "best.safetensors")
    versions.add(copied(source), BETTER, "default", after={"a": 0.61, "b": 0.61, "c": 0.61})
    versions.add(copied(source), BETTER, "v1", after={str(number): 0.74 for number in range(5)})
    versions.add(copied(source), WORSE, "v2", after={"polyp_07": 0.66, "b": 0.5})
    versions.add(copied(source), judge({}, {}), "v2")
    assert [entry.sentence for entry in versions.listing()] == [
        "v4: not measured; cannot tell yet",
        "v3: DSC 0.58 on 2 test images; clearly worse",
        "v2: DSC 0.74 on 5 test images; in use",
        "v1: DSC 0.61 on 3 test images; clearly better",
    ]
    assert [entry.in_use for entry in versions.listing()] == [False, False, True, False]
    assert versions.listing()[0].path == versions.path(4)


def test_one_click_goes_back_and_the_next_one_further(versions: ModelVersions, tmp_path: Path) -> None:
    for _ in range(3):
        add(versions, tmp_path)
    assert in_use(versions) == "v3"
    for wanted in (2, 1):
        back = versions.roll_back(wanted)
        assert back is not None
        assert in_use(versions) == back.name == f"v{wanted}"
    assert versions.roll_back(STARTING_MODEL) is None
    assert in_use(versions) is None
    versions.promote(2)
    assert in_use(versions) == "v2"


def test_a_version_can_be_used_anyway_and_left_again(versions: ModelVersions, tmp_path: Path) -> None:
    add(versions, tmp_path)
    add(versions, tmp_path, WORSE)
    assert versions.promote(2).reason == "clearly worse"
    assert in_use(versions) == "v2"
    assert versions.listing()[0].in_use
    versions.roll_back(1)
    assert in_use(versions) == "v1"
    add(versions, tmp_path)
    versions.promote(1)
    assert in_use(versions) == "v1"
    versions.path(1).unlink()
    assert in_use(versions) == "v3", "what was in use before, not what is older"


def test_what_is_not_there_cannot_be_used(versions: ModelVersions, tmp_path: Path) -> None:
    add(versions, tmp_path)
    with pytest.raises(CheckpointError, match="no version v7; there are v1"):
        versions.promote(7)
    with pytest.raises(CheckpointError, match="no version v7"):
        versions.roll_back(to=7)
    versions.path(1).unlink()
    with pytest.raises(CheckpointError, match="The file of v1 is gone"):
        versions.promote(1)


def test_a_file_that_vanished_is_said_and_the_rest_works(versions: ModelVersions, tmp_path: Path) -> None:
    for _ in range(3):
        add(versions, tmp_path)
    versions.path(3).unlink()
    assert in_use(versions) == "v2"
    [sentence] = versions.warnings
    assert sentence.startswith("The file of v3 is gone (")
    assert "v2 is used instead" in sentence
    assert [entry.missing for entry in versions.listing()] == [True, False, False]
    assert versions.listing()[0].sentence.endswith("; its file is gone or cut short")
    versions.path(2).write_bytes(versions.path(2).read_bytes()[:-1])
    assert in_use(versions) == "v1"
    versions.path(1).unlink()
    assert in_use(versions) is None
    assert "the model before the first version is used instead" in versions.warnings[0]
    assert add(versions, tmp_path).name == "v4"
    assert versions.warnings == ()


def test_no_file_is_ever_written_over_and_a_lost_database_is_told(versions: ModelVersions, tmp_path: Path) -> None:
    add(versions, tmp_path)
    first = versions.path(1).read_bytes()
    versions.database.path.unlink()
    [sentence] = versions.warnings
    assert "has lost v1, taken up again from" in sentence
    assert [entry.sentence for entry in versions.listing()] == ["v1: not measured; its record was lost"]
    assert versions.promote(1).number == 1
    assert (in_use(versions), versions.warnings) == ("v1", ())
    assert add(versions, tmp_path).name == "v2"
    assert versions.path(1).read_bytes() == first


def test_a_score_that_is_no_number_is_not_kept_as_one(versions: ModelVersions, tmp_path: Path) -> None:
    source = model_file(tmp_path / "best.safetensors")
    made = versions.add(copied(source), BETTER, "default", after={"a": float("nan"), "b": 0.5})
    assert made.after == {"b": 0.5}


@pytest.mark.parametrize("damage", ["{", "{}", '{"number": 1e400}', "9" * 5000])
def test_a_damaged_record_takes_only_its_version(versions: ModelVersions, tmp_path: Path, damage: str) -> None:
    add(versions, tmp_path)
    add(versions, tmp_path)
    with versions.database.write("not damaged") as connection:
        connection.execute("UPDATE versions SET record = ? WHERE number = 2", (damage,))
    assert in_use(versions) == "v2"  # by its file
    assert [version.reason for version in versions.versions()] == ["clearly better", "its record was lost"]
    versions.path(2).unlink()
    assert in_use(versions) == "v1"
    assert len(versions.versions()) == 1
    assert add(versions, tmp_path).number == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
@pytest.mark.parametrize("where", ["model", "database"])
def test_a_full_disk_leaves_the_old_model_untouched(versions: ModelVersions, tmp_path: Path, where: str) -> None:
    import resource

    add(versions, tmp_path)
    before = {path.name: path.read_bytes() for path in versions.folder.iterdir()}
    model, database = len(before["v1.safetensors"]), versions.database.path.stat().st_size
    source = model_file(tmp_path / "best.safetensors")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (model - 10 if where == "model" else database + 10, limits[1]))
    try:
        with pytest.raises(InputError, match=r"The new model was not kept: .* cannot be written"):
            versions.add(copied(source), BETTER, "v1", title="x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in versions.folder.iterdir()} == before
    assert in_use(versions) == "v1"
    assert source.exists()


CODE = """
import os, signal, sys
from functools import partial
from shutil import copyfile
from napari_wavegms.finetune.gate import judge
from napari_wavegms.finetune.versions import ModelVersions
source, folder, lines = sys.argv[1], sys.argv[2], sys.stdin
better = judge({"a": 0.1}, {"a": 0.9})
for _ in range(2):  # so that each child finds what they import: to write, and to read what was written
    ModelVersions(folder + "-before").add(partial(copyfile, source), better, "default")
for request in lines:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        left = int(request)
        def trace(frame, event, _):
            global left
            if "napari_wavegms" not in frame.f_code.co_filename:
                return None
            left -= event == "line"
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace
        sys.settrace(trace)
        version = ModelVersions(folder).add(partial(copyfile, source), better, "default")
        os.write(writing, str(version.number).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as report:
        print(report.read() or 0, flush=True)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has neither fork nor SIGKILL")
def test_killed_at_any_line_the_versions_stay_whole(versions: ModelVersions, tmp_path: Path) -> None:
    source = model_file(tmp_path / "best.safetensors", b"x" * 1000)
    kills = [*range(1, 320, 7), 10**9]
    run = subprocess.run(
        [sys.executable, "-c", CODE, str(source), str(versions.database.folder)],
        input="".join(f"{lines}\n" for lines in kills),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    confirmed = [int(line) for line in run.stdout.split() if line != "0"]
    assert confirmed
    assert len(confirmed) < len(kills)
    listed = {version.number for version in versions.versions()}
    assert set(confirmed) <= listed
    assert not any(entry.missing for entry in versions.listing())
    assert all(versions.path(number).read_bytes() == source.read_bytes() for number in listed)
    assert in_use(versions) == f"v{max(listed)}"
    assert versions.warnings == ()
