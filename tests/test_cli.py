"""The command line as a whole: help without torch, and complaints that are sentences with the right exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_wavegms import __version__
from napari_wavegms.cli import COMMANDS, main
from napari_wavegms.commands.common.exit_codes import verdict
from napari_wavegms.errors import CheckpointError, InputError, TrainingError, WeightsNotFoundError

NAMES = (
    "segment",
    "finetune",
    "train",
    "evaluate",
    "measure",
    "corrections",
    "export",
    "export-masks",
    "models",
    "info",
    "import",
    "demo",
    "bench",
)


def test_nothing_heavy_is_loaded_to_tell_about_things() -> None:
    script = """
import sys
from napari_wavegms.cli import main
for words in ("models", "train --help", "info no-such-model", "--help"):
    try:
        code = main(words.split())
    except SystemExit as end:
        code = end.code
    heavy = {"torch", "napari", "diffusers", "scipy", "skimage", "qtpy"} & set(sys.modules)
    print(words, code, sorted(heavy), file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    told = [line for line in run.stderr.splitlines() if line.endswith("]")]
    assert told == ["models 0 []", "train --help 0 []", "info no-such-model 2 []", "--help 0 []"]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES)
    assert len(COMMANDS) == len(NAMES) - 1  # export-masks is in the module of corrections


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"wavegms {__version__}\n"


def test_no_command_prints_the_help_as_a_complaint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert "usage: wavegms" in printed.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("segmnt x", "There is no command 'segmnt'. Choose one of segment, finetune, train,"),
        ("segment", "wavegms segment needs INPUT."),
        ("segment x --output", "--output needs a value."),
        ("segment x --output y --bright", "wavegms segment has no option '--bright'."),
        ("segment x --output y --device gpu", "--device is 'gpu'; choose auto, cpu, cuda or mps."),
        ("segment x --output y --threshold 1", "--threshold is '1'; give a number between 0 and 1"),
        ("segment x --output y --channel -1", "--channel is '-1'; give a whole number from 0"),
        ("train --images a --masks b --output c --learning-rate nan", "--learning-rate is 'nan'; give a number"),
        ("train --images a --masks b --output c --epochs 1.5", "--epochs is '1.5'; give a whole number"),
        ("--bright", "wavegms has no option '--bright'."),
    ],
)
def test_a_typing_error_gets_one_sentence(arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(complaint)
    assert printed.err.count("\n") == 1
    assert "--help'." in printed.err
    assert not printed.out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("The image is odd."), 2),
        (CheckpointError("The file is odd."), 2),
        (WeightsNotFoundError("There are none."), 2),
        (TrainingError("The loss became nan."), 1),
        (PermissionError(13, "Permission denied", "scan.png"), 1),
        (MemoryError(), 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_failure_has_its_exit_code_and_a_sentence(error: BaseException, code: int) -> None:
    found = verdict(error)
    assert found is not None
    assert found[0] == code
    assert found[1].endswith(".")


def test_an_error_of_our_own_making_is_not_hidden() -> None:
    assert verdict(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error on Windows")
def test_a_reader_who_stops_reading_gets_no_traceback() -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "napari_wavegms.cli", "models", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stdout is not None
    run.stdout.close()
    assert run.communicate(timeout=120)[1] == b""
    assert run.returncode == 1
