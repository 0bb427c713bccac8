"""What the panel says after work: whole sentences, with what a number was measured on."""

from __future__ import annotations

from dataclasses import dataclass

from napari_wavegms.widgets.time_left import in_words


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run went.

    Attributes
    ----------
    image : str
        Name of the image layer.
    labelled : float
        Part of the segmented pixels that is labelled, 0 to 1.
    planes, total : int
        How many planes were segmented, of how many that were asked for.
    threshold : float
    kept : int
        How many of a person's edited pixels stayed.
    seconds : float or None
        What segmenting took; None for a run that was stopped.
    device : str
    """

    image: str
    labelled: float
    planes: int
    total: int
    threshold: float
    kept: int = 0
    seconds: float | None = None
    device: str = ""


def run_sentence(report: RunReport) -> str:
    """Say how a run went.

    Examples
    --------
    >>> run_sentence(RunReport("benign_12", 0.034, 1, 1, 0.5, seconds=0.2, device="cpu"))
    '3.4 % of benign_12 labelled in 0.2 s on CPU.'
    """
    verb = "was" if report.kept == 1 else "were"
    kept = f" Your {_pixels(report.kept, 'edited ')} {verb} kept." if report.kept else ""
    if report.seconds is None:
        done = f"{report.planes} of {report.total} frames of {report.image}"
        return f"Cancelled after {done}; the finished ones are kept.{kept}"
    took = f"in {in_words(report.seconds)} on {report.device.upper()}"
    if not report.labelled:
        of_frames = f"{report.planes} frames of " if report.planes > 1 else ""
        return (
            f"Nothing in {of_frames}{report.image} reaches the threshold {report.threshold:.2f} ({took}). "
            f"Lower the threshold, or try another model.{kept}"
        )
    if report.planes > 1:
        return f"{report.planes} frames of {report.image} segmented {took}; {_percent(report.labelled)} labelled.{kept}"
    return f"{_percent(report.labelled)} of {report.image} labelled {took}.{kept}"


def threshold_sentence(labelled: float, threshold: float, every: bool) -> str:
    """Say what a threshold makes of the mask."""
    where = "all segmented frames" if every else "the image"
    return f"{_percent(labelled)} of {where} labelled at threshold {threshold:.2f}."


def edits_sentence(mask: str, pixels: int) -> str:
    """Ask what a second run may do to a person's edits."""
    return f"You edited {_pixels(pixels)} of “{mask}”. Segment again and keep them?"


def _percent(part: float) -> str:
    if 0 < part < 0.0005:
        return "less than 0.1 %"
    return f"{part * 100:.1f} %"


def _pixels(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}pixel{'' if count == 1 else 's'}"
