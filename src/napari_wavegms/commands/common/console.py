"""What a command says: results on stdout; progress, notes and complaints on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def prepare_streams() -> None:
    """Let a name that the terminal's encoding cannot show be written with escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def show(text: str) -> None:
    """Print a line of the result."""
    _write(text, sys.stdout)


def tell(text: str) -> None:
    """Print a note beside the result."""
    _write(text, sys.stderr)


def show_json(values: Any) -> None:
    """Print the result as JSON."""
    show(json.dumps(values, indent=2, allow_nan=False))


def bar(total: int | None, what: str, unit: str, *, silent: bool = False) -> tqdm[Any]:
    """Start a progress bar with the time left on stderr, where that is a terminal; elsewhere it stays silent.

    Parameters
    ----------
    total : int or None
        How many steps there are.
    what : str
        What is being done.
    unit : str
        One step.
    silent : bool
        Show no bar at all.
    """
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


def duration(seconds: float) -> str:
    """Write a duration as people say it.

    Examples
    --------
    >>> duration(0.234), duration(75), duration(7300)
    ('0.23 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.01 else "0.01 s"
    minutes, rest = divmod(round(seconds), 60)
    hours, more = divmod(minutes, 60)
    if hours:
        return f"{hours} h {more} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def about(name: str, sentence: str) -> str:
    """Begin a sentence with what it is about, where it does not say so itself.

    Examples
    --------
    >>> about("scan.png", "It is empty."), about("scan.png", "scans/scan.png is empty.")
    ('scan.png: It is empty.', 'scans/scan.png is empty.')
    """
    return sentence if name in sentence else f"{name}: {sentence}"


def counted(count: int, noun: str) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def some(names: Iterable[str], shown: int = 3) -> str:
    """Name the first few.

    Examples
    --------
    >>> some("abcde")
    'a, b, c and 2 more'
    """
    listed = list(names)
    more = len(listed) - shown
    return ", ".join(listed[:shown]) + (f" and {more} more" if more > 0 else "")


def _write(text: str, stream: Any) -> None:
    # A bar on the screen has to make room for the line; where tqdm was never loaded there is none.
    if tqdm_module := sys.modules.get("tqdm"):
        tqdm_module.tqdm.write(text, file=stream)
    else:
        print(text, file=stream)
    stream.flush()
