"""Draw the training curves of docs/lab/training.md from the table that stands there.

    python -m pip install matplotlib
    python recipes/curves.py docs/lab/training.md docs/images/training-curves.svg

Rows of the table are "| stage, epoch | Dice loss | latent loss | alignment loss | val DSC |", stages in their order. A
new table and a new drawing are one command apart, so that they cannot disagree.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt

ROW = re.compile(r"\| ([a-z0-9 ]+), (\d+)((?: \| [\d.]+){4}) \|")
STAGE_COLOURS = (
    "#0072b2",
    "#009e73",
    "#e69f00",
    "#cc79a7",
    "#d55e00",
    "#56b4e9",
    "#000000",
    "#999999",
)  # Okabe and Ito's, fit for everybody


class Point(NamedTuple):
    """One row of the table."""

    stage: str
    epoch: int
    loss: float
    dsc: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("drawing", type=Path)
    options = parser.parse_args()
    points = read(options.table.read_text(encoding="utf-8"))
    plt.rcParams |= {"svg.hashsalt": "wavegms", "svg.fonttype": "none", "font.size": 9}
    figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(7, 5), layout="constrained")
    end = 0
    for colour, stage in zip(STAGE_COLOURS, dict.fromkeys(point.stage for point in points), strict=True):
        rows = [point for point in points if point.stage == stage]
        epochs = [end + row.epoch for row in rows]
        upper.plot(epochs, [row.dsc for row in rows], "o-", color=colour, markersize=3, label=stage)
        lower.plot(epochs, [row.loss for row in rows], "o-", color=colour, markersize=3)
        end = epochs[-1]
        for axes in (upper, lower):
            axes.axvline(end, color="#ddd", zorder=0)
    upper.set(ylabel="DSC on val", ylim=(0.5, 0.95))
    lower.set(ylabel="Dice loss", xlabel="epochs, stage after stage", xlim=(0, None))
    upper.legend(ncols=3, frameon=False, loc="lower right")
    figure.savefig(options.drawing, metadata={"Date": None, "Creator": None})


def read(text: str) -> list[Point]:
    """The rows of the table."""
    points = []
    for stage, epoch, numbers in ROW.findall(text):
        loss, _, _, dsc = (float(number) for number in numbers.split("|")[1:])
        points.append(Point(stage, int(epoch), loss, dsc))
    return points


if __name__ == "__main__":
    main()
