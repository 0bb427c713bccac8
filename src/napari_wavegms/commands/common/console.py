"""What a command prints: results on stdout; progress, notes and errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from napari_wavegms.errors import plain

if TYPE_CHECKING:
    from tqdm import tqdm


def prepare_streams() -> None:
    """Let a name that the terminal's encoding cannot show be written with escapes, and a closed stream be silent."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us, such as cron or a service
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - as long as the program
        elif reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def show(*lines: str) -> None:
    """Print lines of the result."""
    for line in lines:
        _write(line, sys.stdout)


def note(text: str) -> None:
    """Print a note beside the result, on stderr."""
    _write(text, sys.stderr)


def show_json(values: Any) -> None:
    """Print the result as JSON."""
    show(*as_json(values).splitlines())


def as_json(values: Any) -> str:
    """JSON as every command writes it."""
    return json.dumps(values, indent=2, allow_nan=False)


def bar(total: int, what: str, unit: str, *, silent: bool = False) -> tqdm[Any]:
    """A progress bar of `total` steps on stderr, with the time left; silent where that is not a terminal."""
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        leave=False,
        disable=silent or not sys.stderr.isatty(),
        dynamic_ncols=True,
        file=sys.stderr,
    )


def about(name: str, sentence: str) -> str:
    """Begin a sentence with what it is about, unless it names that already.

    Examples
    --------
    >>> about("scan.png", "It is empty."), about("scan.png", "scans/scan.png is empty.")
    ('scan.png: It is empty.', 'scans/scan.png is empty.')
    """
    return sentence if name in sentence else f"{name}: {sentence}"


def _write(text: str, stream: Any) -> None:
    text = plain(text)
    # A bar on the screen has to make room for the line; where tqdm was never loaded there is none.
    if tqdm_module := sys.modules.get("tqdm"):
        tqdm_module.tqdm.write(text, file=stream)
    else:
        print(text, file=stream)
    stream.flush()
