"""`wavegms demo`: the whole way on a synthetic ultrasound image, in napari or, without a screen, in files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wavegms.commands.common.arguments import Commands, a_path, add_command, add_shared
from napari_wavegms.commands.common.console import note, show, show_json
from napari_wavegms.commands.common.models import load_segmenter
from napari_wavegms.commands.common.output_paths import checked_output_folder
from napari_wavegms.model.card import read_card
from napari_wavegms.model.registry import CODECS, DEFAULT, resolve
from napari_wavegms.wording import duration

if TYPE_CHECKING:
    from napari_wavegms.samples import Phantom
    from napari_wavegms.segment.segmenter import Segmentation

_FOLDER = Path("wavegms-demo")


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(
        commands,
        "demo",
        run,
        "Segment a synthetic ultrasound image, in napari or into files",
        epilog="Where no window can be opened, the files are written instead. The image shows no patient.",
    )
    parser.add_argument("--output", metavar="DIR", type=a_path, help=f"folder for the pictures (default: {_FOLDER})")
    parser.add_argument("--no-window", action="store_true", help="open no window, write the files only")
    add_shared(parser, "--model", "--device", "--json")
    parser.set_defaults(codec=CODECS[0], taesd=None, allow_download=False)


def run(options: argparse.Namespace) -> int:
    """Open the window, or write the files."""
    path = resolve(options.model)
    read_card(path)
    only_files = options.no_window or options.json
    if options.output or only_files:
        _write_files(options, options.output or _FOLDER)
    if only_files:
        return 0
    from napari_wavegms.widgets.demo_window import open_window

    if why_not := open_window(None if options.model == DEFAULT else path):
        note(f"No window could be opened: {why_not}.")
        if not options.output:
            _write_files(options, _FOLDER)
    return 0


def _write_files(options: argparse.Namespace, folder: Path) -> None:
    checked_output_folder(folder)
    segmenter = load_segmenter(options)
    from napari_wavegms.learn.metrics import dice
    from napari_wavegms.samples import ultrasound_phantom

    phantom = ultrasound_phantom()
    result = segmenter.segment(phantom.image)
    dsc = dice(result.mask, phantom.mask)
    files = _write(folder, phantom, result)
    if options.json:
        show_json({"dsc": dsc, "seconds": round(result.seconds, 4)} | {name: str(file) for name, file in files.items()})
        return
    show(f"Segmented a synthetic ultrasound image in {duration(result.seconds)}:")
    for name, file in files.items():
        show(f"  {name:8} {file}")
    show(f"DSC {dsc:.3f} against the true lesion. This is 1 synthetic image; it says little about real ones.")
    show("Next: wavegms segment YOUR_IMAGES --output DIR")


def _write(folder: Path, phantom: Phantom, result: Segmentation) -> dict[str, Path]:
    from PIL import Image

    from napari_wavegms.commands.common.pictures import write_overlay
    from napari_wavegms.files.mask_writer import write_mask
    from napari_wavegms.files.provenance import Provenance
    from napari_wavegms.storage.atomic import atomic_write

    def file(ending: str) -> Path:
        return folder / f"{phantom.name}{ending}"

    made_by: dict[str, Any] = {"provenance": Provenance.now(result.model, result.threshold, phantom.name)}
    with atomic_write(file(".png")) as neighbour:
        Image.fromarray(phantom.image).save(neighbour)
    return {
        "image": file(".png"),
        "mask": write_mask(file("_mask.tiff"), result.mask, **made_by),
        "mask_png": write_mask(file("_mask.png"), result.mask, **made_by),
        "overlay": write_overlay(file("_overlay.png"), phantom.image, result.mask, phantom.mask),
    }
