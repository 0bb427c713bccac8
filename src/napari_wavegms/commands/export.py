"""`wavegms export`: a model for other programs, as ONNX or as a bioimage.io package."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from napari_wavegms.commands.common.arguments import Commands, a_path, add_command, add_shared
from napari_wavegms.commands.common.console import note, show, show_json
from napari_wavegms.commands.common.models import named_model
from napari_wavegms.commands.common.output_paths import checked_output_file
from napari_wavegms.errors import InputError
from napari_wavegms.model.card import read_card
from napari_wavegms.wording import listed

_ENDINGS = (".onnx", ".bioimageio.zip")
_NEEDED = ("onnx", "onnxruntime", "onnxscript", "yaml")

_EPILOG = """\
Both take the working frame, (B, 3, S, S) in [0, 1], and give the probability and the latents; preprocessing is not part
of them, the model's card describes it. The package contains the model file too, which 'wavegms import' takes out again.
docs/export.md tells how other programs use them."""


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(commands, "export", run, "Write a model as ONNX or as a bioimage.io package", epilog=_EPILOG)
    parser.add_argument("model", metavar="MODEL", help="a name from 'wavegms models', or a .safetensors file")
    parser.add_argument(
        "--output", metavar="FILE", type=a_path, required=True, help="a file that ends in .onnx or .bioimageio.zip"
    )
    add_shared(parser, "--json")


def run(options: argparse.Namespace) -> int:
    """Export the model and say how exactly the other program answers."""
    model = named_model(options.model)
    card = read_card(model)
    output = _target(options.output, model)
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise InputError(
            f"wavegms export needs {listed(missing)}. Install what it needs with: pip install 'napari-wavegms[onnx]'"
        )
    note(f"Exporting {card.name}, which takes a minute …")
    from napari_wavegms.exchange.bioimageio import export_package
    from napari_wavegms.exchange.onnx_file import export_onnx

    exported = (export_onnx if output.name.lower().endswith(_ENDINGS[0]) else export_package)(model, output)
    if exported.has_keeper:
        note(
            f"{card.name} has two networks; exported is the one that learned last. It answers the other one's kinds of "
            "image too, and less well."
        )
    size = output.stat().st_size
    if options.json:
        values = {"path": str(output), "bytes": size, "model": card.name, "two_networks": exported.has_keeper}
        show_json(values | {"largest_difference": exported.difference})
        return 0
    show(f"Exported {card.name} as {output} ({size / 1e6:.1f} MB).")
    show(f"ONNX Runtime's probabilities differ from ours by at most {exported.difference:.1g} on a synthetic image.")
    return 0


def _target(path: Path, model: Path) -> Path:
    if not path.name.lower().endswith(_ENDINGS):
        raise InputError(f"'{path.name}' does not end in {' or '.join(_ENDINGS)}; give --output one of these endings.")
    return checked_output_file(path, [model])
