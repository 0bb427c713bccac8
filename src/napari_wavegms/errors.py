"""The errors a user may meet: each message says in a sentence or two what is wrong and what to do.

None derives from `RuntimeError`: generator workers of superqt, and so napari's, swallow that one.
"""

import re

_LONGEST_WORD, _LONGEST = 300, 900  # characters


def plain(text: str) -> str:
    r"""One line of text: control characters, which a terminal would obey, are shown as escapes.

    Examples
    --------
    >>> print(plain("scan" + chr(27) + "[2J.png"), plain("two" + chr(10) + "lines.png"))
    scan\x1b[2J.png two\nlines.png
    """
    return "".join(one if one == "\t" or one.isprintable() else ascii(one)[1:-1] for one in text)


def harmless(sentence: str) -> str:
    """A sentence with what strangers' files put into it: escapes are shown, and the middle of what is long is left out.

    Examples
    --------
    >>> len(harmless("The file " + "x" * 200_000 + " is damaged."))
    232
    """
    short = re.sub(rf"\S{{{_LONGEST_WORD},}}", lambda word: f"{word[0][:150]}…{word[0][-60:]}", plain(sentence))
    return short if len(short) <= _LONGEST else f"{short[:300]} … {short[-300:]}"


class WaveGMSError(Exception):
    """Base of every error that napari-wavegms raises on purpose; its text can be shown to a user.

    Names and values that a file brought along are shown with escapes, and cut where they are long.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(harmless(sentence))


class InputError(WaveGMSError, ValueError):
    """An image, mask, folder or option that does not fit."""


class CheckpointError(WaveGMSError):
    """A model file that is missing, damaged, foreign or too new."""


class WeightsNotFoundError(WaveGMSError):
    """Weights that the user has to provide, or allow to be downloaded."""


class TrainingError(WaveGMSError):
    """A training run that cannot start or continue."""


class ProcessLostError(WaveGMSError):
    """A process that ended in the middle of its work."""
