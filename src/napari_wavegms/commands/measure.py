"""`wavegms measure`: the sizes of what masks show, as a table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_wavegms.commands.common.arguments import Commands, a_path, add_command, add_shared
from napari_wavegms.commands.common.console import about, note, show, show_json
from napari_wavegms.commands.common.exit_codes import BAD_INPUT, DONE, FAILED
from napari_wavegms.commands.common.output_paths import checked_output_file
from napari_wavegms.errors import InputError
from napari_wavegms.files.discovery import find_images
from napari_wavegms.files.pairing import find_masks, image_for
from napari_wavegms.files.reading import MaskDetails, read_image, read_mask_details
from napari_wavegms.segment.measure import as_text, measured_rows, write_table
from napari_wavegms.storage.memory import set_memory_limit
from napari_wavegms.wording import counted, sides

_EPILOG = """\
A row for each label (piece 0), and for each of its pieces where it has several. Lengths are in the unit of the mask's
file, areas and volumes in its square and cube; without a spacing they are in pixels. The diameter is the longest
distance between two points of the outline, across is the width at right angles to it; of a volume both are those of
the slice where the diameter is longest. Time series are measured frame by frame. A mask that cannot be read is
reported and the rest is done; the exit code is then 1, or 2 if nothing could be measured."""


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "measure", run, "Measure what masks show, as a table", epilog=_EPILOG)
    parser.add_argument("masks", metavar="MASK", nargs="+", help="masks or folders of them")
    parser.add_argument("--images", metavar="DIR", type=a_path, help="folder of the images, for mean intensities")
    parser.add_argument("--csv", metavar="FILE", type=a_path, help="write the table there (default: print it)")
    add_shared(parser, "--max-memory", "--json")


def run(options: argparse.Namespace) -> int:
    """Measure all masks."""
    set_memory_limit(options.max_memory)
    masks = find_masks(options.masks)
    if options.csv:
        checked_output_file(options.csv, masks, suffix=".csv", option="--csv")
    images = None if options.images is None else find_images([options.images])
    rows: list[dict[str, Any]] = []
    failed = 0
    for path in masks:
        try:
            rows += measured(path, images)
        except InputError as error:
            failed += 1
            note(about(path.name, str(error)))
    if failed == len(masks):
        return BAD_INPUT
    if options.json:
        show_json(rows)
    if options.csv:
        write_table(options.csv, rows)
        note(f"{counted(len(rows), 'row')} from {counted(len(masks) - failed, 'mask')} written to {options.csv}.")
    elif not options.json:
        show(*as_text(rows).removesuffix("\r\n").split("\r\n"))
    return FAILED if failed else DONE


def measured(path: Path, images: Sequence[Path] | None) -> list[dict[str, Any]]:
    """The rows of a mask's file; raises `InputError` if it, or its image, cannot be read or has another size."""
    mask = read_mask_details(path)
    image = None if images is None else _values(mask, image_for(path, images))
    return measured_rows(path.name, mask.labels, mask.axes, mask.spacing, image)


def _values(mask: MaskDetails, path: Path) -> Any:
    """The image's values, one for each pixel of the mask."""
    image = read_image(path)
    if image.axes.endswith("S"):
        raise InputError(f"{path.name} is in colour, which has no mean intensity. Drop --images, or give grey images.")
    if image.pixels.size != mask.labels.size or image.pixels.shape[-2:] != mask.labels.shape[-2:]:
        raise InputError(
            f"{path.name} is {sides(image.pixels.shape)}, but its mask is {sides(mask.labels.shape)}. Choose the image "
            "that it was drawn on."
        )
    return image.pixels.reshape(mask.labels.shape)
