"""The lab file: one JSON line a result, which docs/results.md and docs/lab/ quote.

    python recipes/lab.py docs/lab/lab.jsonl

prints it as a Markdown table, oldest first.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

LAB = Path("docs/lab/lab.jsonl")
COLUMNS = (
    "what",
    "data",
    "n",
    "DSC",
    "IoU",
    "HD95 (px)",
    "training",
    "parameters",
    "seed",
    "device",
    "hours",
    "command",
)


def record(lab: Path, what: str, scores: Mapping[str, Any], **more: Any) -> None:
    """Append a line: what was measured, its scores, and whatever else makes it repeatable.

    The line is on disk on return, and several processes may write to one file.
    """
    line = {"what": what, **scores, **more, "date": date.today().isoformat()}
    text = json.dumps(line) + "\n"
    print(text, end="", flush=True)
    lab.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lab, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, text.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line, or what stands for it, and keep it for `command`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return argparse.Namespace(**vars(parser.parse_args(arguments)), arguments=arguments)


def command(arguments: Sequence[str]) -> str:
    """The running script and its arguments, as repeatable elsewhere: folders and files by their last name."""
    words = [re.sub("[^=]*/(?=.)", "", word) for word in arguments]
    return shlex.join(["python", f"recipes/{Path(sys.argv[0]).name}", *words])


def machine(device: str) -> str:
    """What it ran on, in words that say how fast that may be."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    count = torch.get_num_threads()
    return f"{device}, {count} thread{'' if count == 1 else 's'}"


def table(lines: list[dict[str, Any]]) -> str:
    """The lines as a Markdown table."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(_row(line) for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    undefined = f" ({line['hd95_undefined']} undefined)" if line.get("hd95_undefined") else ""
    distance = "–" if line["hd95"] is None else f"{line['hd95']:.2f}{undefined}"
    parameters = f"{line['parameters']:,}" if "parameters" in line else "–"
    hours = f"{line['seconds'] / 3600:.2f}" if "seconds" in line else "–"
    others = [str(line.get(name, "–")) for name in ("training", "seed", "device")]
    scores = [str(line["n"]), f"{line['dsc']:.4f}", f"{line['iou']:.4f}", distance]
    training, seed, device = others
    return (line["what"], line["data"], *scores, training, parameters, seed, device, hours, f"`{line['command']}`")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lab", type=Path, nargs="?", default=LAB)
    options = parser.parse_args()
    print(table([json.loads(line) for line in options.lab.read_text(encoding="utf-8").splitlines() if line]))


if __name__ == "__main__":
    main()
