"""The command line's grammar: options that several commands share, and errors that are sentences."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from napari_wavegms.commands.common.output_paths import checked_output_file
from napari_wavegms.errors import harmless
from napari_wavegms.model.registry import CODECS, DEVICES
from napari_wavegms.storage.user_data import expanded, is_web_address

STDOUT = "-"

_LARGEST = 2**31 - 1

Commands = Any  # argparse has no public type for what add_subparsers returns


class SentenceParser(argparse.ArgumentParser):
    """A parser whose errors are one sentence on stderr."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Print the sentence and exit with 2."""
        self.exit(2, f"{harmless(sentence(self.prog, message))} See '{self.prog} --help'.\n")


def sentence(prog: str, message: str) -> str:
    """Turn argparse's message into a sentence.

    Examples
    --------
    >>> sentence("wavegms train", "the following arguments are required: --images, --masks")
    'wavegms train needs --images, --masks.'
    >>> sentence("wavegms train", "argument --epochs: expected one argument")
    '--epochs needs a value.'
    """
    if found := re.match(r"the following arguments are required: (.*)", message):
        return f"{prog} needs {found[1]}."
    if found := re.match(r"unrecognized arguments: (.*)", message):
        return f"{prog} has no option '{found[1]}'."
    if found := re.match(r"argument COMMAND: invalid choice: '?(.*?)'? \(choose from (.*)\)", message):
        known = found[2].replace("'", "")
        return f"There is no command '{found[1]}'. Choose one of {known}."
    if found := re.match(r"argument (.+?): expected (one|at least one) argument", message):
        return f"{found[1]} needs a value."
    found = re.match(r"argument (.+?): (.*)", message)
    text = f"{found[1]} {found[2]}" if found else message
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def a_path(text: str) -> Path:
    """A path; an empty one, which would be the current folder, is refused."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give a path, '.' for the current folder")
    if is_web_address(text):
        raise argparse.ArgumentTypeError(f"is the web address {text}; give a path on this computer")
    return expanded(text)


def one_of(*choices: str) -> Callable[[str], str]:
    """Make an option take one of some words."""

    def word(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"is '{text}'; choose {', '.join(choices[:-1])} or {choices[-1]}")
        return text

    return word


def whole(text: str) -> int:
    """A whole number from 0, small enough for every random generator."""
    value = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= value <= _LARGEST:
        raise argparse.ArgumentTypeError(f"is '{text}'; give a whole number from 0 to {_LARGEST}")
    return value


def from_1(text: str) -> int:
    """A whole number from 1."""
    if (value := whole(text)) < 1:
        raise argparse.ArgumentTypeError(f"is '{text}'; give a whole number from 1")
    return value


def number(text: str) -> float:
    """A finite number."""
    value = _float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"is '{text}'; give a number such as 0.001")
    return value


def above_0(text: str) -> float:
    """A finite number above 0."""
    value = _float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"is '{text}'; give a number above 0, such as 4")
    return value


def between_0_and_1(text: str) -> float:
    """A probability strictly between 0 and 1."""
    value = _float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"is '{text}'; give a number between 0 and 1, such as 0.5")
    return value


def intensity_window(text: str) -> tuple[float, float] | str:
    """A name of `WINDOWS`, two values with a colon between them, or `VOLUME`."""
    from napari_wavegms.segment.preprocessing import VOLUME, WINDOWS

    if text in WINDOWS or text == VOLUME:
        return WINDOWS.get(text, text)
    low, _, high = text.partition(":")
    window = _float(low), _float(high)
    if not -math.inf < window[0] < window[1] < math.inf:
        raise argparse.ArgumentTypeError(
            f"is '{text}'; give {', '.join(WINDOWS)}, {VOLUME}, or values such as -150:250"
        )
    return window


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], help_: str, **more: Any
) -> Any:
    """Add a command that `run` does; `help_` is its line in the list of commands and starts its own help."""
    parser = commands.add_parser(name, help=help_[0].lower() + help_[1:], description=f"{help_}.", **more)
    parser.set_defaults(run=run)
    return parser


def add_shared(parser: argparse.ArgumentParser, *options: str) -> None:
    """Add options that several commands have."""
    for option in options:
        parser.add_argument(option, **_SHARED[option])


_FORMATS = ("tiff", "png", "nii.gz", "dcm")
_SHARED: dict[str, dict[str, Any]] = {
    "--model": {
        "default": "default",
        "metavar": "NAME|FILE",
        "help": "a name from 'wavegms models', or a .safetensors file",
    },
    "--device": {
        "type": one_of(*DEVICES),
        "default": "auto",
        "metavar": "|".join(DEVICES),
        "help": "where to compute (default: auto, the fastest available)",
    },
    "--codec": {
        "type": one_of(*CODECS),
        "default": CODECS[0],
        "metavar": "|".join(CODECS),
        "help": "what decodes the mask: the shipped codec (default), or TAESD, which is large and slow",
    },
    "--taesd": {"metavar": "FOLDER", "help": "TAESD's weights (default: $WAVEGMS_TAESD)"},
    "--allow-download": {
        "action": "store_true",
        "help": "allow TAESD's weights to be downloaded from Hugging Face",
    },
    "--max-memory": {  # `run` hands it to `set_memory_limit`
        "metavar": "GB",
        "type": above_0,
        "help": "refuse images that need more memory to be read (default: half of what is free)",
    },
    "--format": {
        "type": one_of(*_FORMATS),
        "metavar": "|".join(_FORMATS),
        "help": "file format of the masks (default: nii.gz for volumes, tiff for the rest); dcm gives a segmentation "
        "(SEG) of a DICOM image",
    },
    "--window": {
        "type": intensity_window,
        "metavar": "NAME|LOW:HIGH",
        "help": "values that become black and white in every image and slice, instead of percentiles of each: lung, "
        "soft-tissue, bone, brain or liver for CT in Hounsfield units, two values such as -150:250, or 'volume' for "
        "percentiles of all slices of a volume",
    },
    "--detail": {
        "type": one_of("whole", "native"),
        "default": "whole",
        "metavar": "whole|native",
        "help": "segment the image as a whole (default), or again at its own pixels around each piece that is "
        "found; large images are also searched for what is too small for the whole, which takes seconds",
    },
    "--workers": {
        "type": from_1,
        "metavar": "N",
        "help": "share the files out to so many processes of one thread each (default: threads of this process)",
    },
    "--scheduler": {
        "metavar": "ADDRESS",
        "help": "hand the files to the workers of a scheduler of dask.distributed: its address, or its file (.json)",
    },
    "--recursive": {"action": "store_true", "help": "also look into folders within folders"},
    "--overwrite": {"action": "store_true", "help": "replace masks that are there already"},
    "--json": {"action": "store_true", "help": "print the result as JSON"},
}


def add_json_file(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --json, with a file or without."""
    parser.add_argument(
        "--json", metavar="FILE", nargs="?", const=STDOUT, help=f"write the {what} as JSON (without FILE: print them)"
    )


def json_target(options: argparse.Namespace, inputs: list[Path]) -> Path | None:
    """The file of --json, with its folder; None where it prints or is not given."""
    if options.json in (None, STDOUT):
        return None
    return checked_output_file(Path(options.json), inputs, option="--json")
