"""The `wavegms` command."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence

from napari_wavegms import __version__
from napari_wavegms.commands import (
    bench,
    corrections,
    demo,
    evaluate,
    export,
    finetune,
    import_official,
    info,
    measure,
    models,
    segment,
    train,
)
from napari_wavegms.commands.common.arguments import SentenceParser
from napari_wavegms.commands.common.console import note, prepare_streams
from napari_wavegms.commands.common.exit_codes import BAD_INPUT, DONE, FAILED, verdict

COMMANDS = (
    segment,
    finetune,
    train,
    evaluate,
    measure,
    corrections,
    models,
    info,
    export,
    import_official,
    demo,
    bench,
)

_DESCRIPTION = (
    "Segment medical images with Wave-GMS, a model small enough to learn from your corrections on a laptop. "
    "For research. Not a medical device."
)
_EPILOG = (
    "Exit codes: 0 done, 1 some of the work failed, 2 wrong input, 130 stopped with Ctrl-C; finetune has two more. "
    "Nothing is downloaded without --allow-download."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with the arguments after the program's name, and return its exit code.

    Examples
    --------
    >>> main(["models", "--json", "--no-such-option"])
    2
    """
    prepare_streams()
    try:
        options = _parse(argv)
        return int(options.run(options))
    except SystemExit as end:  # argparse has printed everything
        return end.code if isinstance(end.code, int) else DONE
    except BrokenPipeError:
        # Nobody reads our output any more; Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        found = verdict(error)
        if found is None:
            raise  # a bug, which needs its traceback
        code, sentence = found
        note(sentence)
        return code


def _joined(argv: Sequence[str]) -> list[str]:
    """The arguments with negative values of --window in one with it: argparse would take them for options."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] == "--window" and re.match(r"-\d", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = SentenceParser(prog="wavegms", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"wavegms {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in COMMANDS:
        command.add_parser(commands)
    options, unknown = parser.parse_known_args(_joined(sys.argv[1:] if argv is None else argv))
    if options.command is None and not unknown:
        parser.print_help(sys.stderr)
        parser.exit(BAD_INPUT)
    if unknown:
        place = parser if options.command is None else commands.choices[options.command]
        place.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
