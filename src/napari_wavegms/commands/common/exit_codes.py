"""From an error to an exit code and a sentence."""

from __future__ import annotations

from napari_wavegms.errors import ProcessLostError, TrainingError, WaveGMSError, harmless
from napari_wavegms.storage.atomic import remedy
from napari_wavegms.storage.memory import out_of_memory

DONE, FAILED, BAD_INPUT, UNSURE, NOT_BETTER, INTERRUPTED = 0, 1, 2, 3, 4, 130


def verdict(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the sentence for an error; None for a bug, which needs its traceback.

    Examples
    --------
    >>> verdict(WaveGMSError("The image is odd."))
    (2, 'The image is odd.')
    """
    if isinstance(error, WaveGMSError):
        return FAILED if isinstance(error, TrainingError | ProcessLostError) else BAD_INPUT, str(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "Stopped."
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return FAILED, harmless(f"{place}{error.strerror or error}; {remedy(error)}")
    if out_of_memory(error):
        return FAILED, "Out of memory. Close other programs, use --device cpu, or lower --batch."
    return None
