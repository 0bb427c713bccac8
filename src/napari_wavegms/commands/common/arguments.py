"""The command line's grammar: options that several commands share, and complaints that are sentences."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

# Kept beside torch's own lists (model.device, model.codec), which cannot be imported without loading torch.
DEVICES = ("auto", "cpu", "cuda", "mps")
CODECS = ("mask-codec", "taesd")

_LARGEST = 2**31 - 1

Commands = Any  # argparse does not name the type of what add_subparsers gives


class SentenceParser(argparse.ArgumentParser):
    """A parser whose errors are one sentence on stderr."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Print the sentence and leave with 2."""
        self.exit(2, f"{sentence(self.prog, message)} See '{self.prog} --help'.\n")


def sentence(prog: str, message: str) -> str:
    """Turn argparse's complaint into a sentence.

    Examples
    --------
    >>> sentence("wavegms segment", "the following arguments are required: INPUT, --output")
    'wavegms segment needs INPUT, --output.'
    >>> sentence("wavegms train", "argument --epochs: expected one argument")
    '--epochs needs a value.'
    """
    if found := re.match(r"the following arguments are required: (.*)", message):
        return f"{prog} needs {found[1]}."
    if found := re.match(r"unrecognized arguments: (.*)", message):
        return f"{prog} does not know '{found[1]}'."
    if found := re.match(r"argument COMMAND: invalid choice: '?(.*?)'? \(choose from (.*)\)", message):
        known = found[2].replace("'", "")
        return f"There is no command '{found[1]}'; there are {known}."
    if found := re.match(r"argument (.+?): expected (one|at least one) argument", message):
        return f"{found[1]} needs a value."
    found = re.match(r"argument (.+?): (.*)", message)
    text = f"{found[1]} {found[2]}" if found else message
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


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


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"is '{text}'; give a number such as 0.001")
    return value


def between_0_and_1(text: str) -> float:
    """A probability strictly between 0 and 1."""
    try:
        level = float(text)
    except ValueError:
        level = 0.0
    if not 0 < level < 1:
        raise argparse.ArgumentTypeError(f"is '{text}'; give a number between 0 and 1, such as 0.5")
    return level


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], help_: str, **more: Any
) -> Any:
    """Add a command that `run` does; `help_` stands in the list of commands and starts the command's own help."""
    parser = commands.add_parser(
        name,
        help=help_[0].lower() + help_[1:],
        description=f"{help_}.",
        **more,
    )
    parser.set_defaults(run=run)
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model."""
    parser.add_argument(
        "--model", default="default", metavar="NAME|FILE", help="a model of 'wavegms models', or a .safetensors file"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device",
        type=one_of(*DEVICES),
        default="auto",
        metavar="|".join(DEVICES),
        help="where to compute (default: auto, the fastest there is)",
    )


def add_codec(parser: argparse.ArgumentParser) -> None:
    """Add --codec and what TAESD needs."""
    parser.add_argument(
        "--codec",
        type=one_of(*CODECS),
        default=CODECS[0],
        metavar="|".join(CODECS),
        help="what decodes the mask: the shipped codec (default), or TAESD, which is large and slow",
    )
    add_taesd(parser)


def add_taesd(parser: argparse.ArgumentParser) -> None:
    """Add where TAESD's weights come from."""
    parser.add_argument("--taesd", metavar="FOLDER", help="TAESD's weights (default: $WAVEGMS_TAESD)")
    parser.add_argument(
        "--allow-download", action="store_true", help="let TAESD's weights be downloaded from Hugging Face"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json for results on stdout."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
