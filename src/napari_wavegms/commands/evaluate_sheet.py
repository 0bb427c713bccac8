"""The contact sheet of `wavegms evaluate`: the worst, the middle and the best images, with both outlines on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wavegms.commands.common.console import bar, counted
from napari_wavegms.commands.common.output_paths import checked_output_folder, refuse_overwriting
from napari_wavegms.commands.common.pairs import PairFiles

if TYPE_CHECKING:
    from napari_wavegms.files.contact_sheet import Section, Tile
    from napari_wavegms.learn.evaluate import ImageScored, Report
    from napari_wavegms.segment.segmenter import Segmenter

SHEET = "contact-sheet.png"
EACH = 10  # images of a section


def sheet_target(folder: Path, inputs: Sequence[Path]) -> Path:
    """The file of the sheet in a folder, which is made.

    Raises
    ------
    InputError
        If the folder cannot be made or written to, or the sheet would replace an input.
    """
    target = folder / SHEET
    refuse_overwriting([target], inputs, "--overlays")
    checked_output_folder(folder, "--overlays")
    return target


def write_overlays(target: Path, segmenter: Segmenter, files: Sequence[PairFiles], report: Report) -> None:
    """Draw the sheet.

    The images that it shows are read and segmented once more, so that no more than its tiles are ever in memory.
    """
    from napari_wavegms.files.contact_sheet import Section, write_contact_sheet

    chosen = chosen_images(report.images)
    by_name = {file.name: file for file in files}
    sections: list[Section] = []
    with bar(sum(len(scored) for _, scored in chosen), "Drawing", "image") as progress:
        for heading, scored in chosen:
            tiles = []
            for one in scored:
                tiles.append(_tile(segmenter, by_name[one.name], one))
                progress.update()
            sections.append(Section(heading, tuple(tiles)))
    title = f"{segmenter.card.name} on {counted(len(report.images), 'image')}, mean DSC {report.dsc:.3f}"
    write_contact_sheet(target, title, sections)


def chosen_images(images: Sequence[ImageScored], each: int = EACH) -> list[tuple[str, list[ImageScored]]]:
    """Headings and images of the sheet, worst first: all of them where they are few."""
    ranked = sorted(images, key=lambda scored: (scored.dsc, scored.name))
    if len(ranked) <= 3 * each:
        return [(f"All {counted(len(ranked), 'image')}, worst first", ranked)]
    middle = (len(ranked) - each) // 2
    return [
        (f"The {each} worst", ranked[:each]),
        (f"The {each} around the median", ranked[middle : middle + each]),
        (f"The {each} best", ranked[-each:]),
    ]


def _tile(segmenter: Segmenter, file: PairFiles, scored: ImageScored) -> Tile:
    from napari_wavegms.files.contact_sheet import make_tile

    pair = file.read()
    distance = "undefined" if scored.hd95 is None else f"{scored.hd95:.1f} px"
    return make_tile(
        pair.image,
        segmenter.segment(pair.image).mask,
        pair.mask,
        pair.name,
        f"DSC {scored.dsc:.3f}   HD95 {distance}",
    )
