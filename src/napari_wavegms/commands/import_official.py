"""`wavegms import`: a checkpoint of the official code, or a bioimage.io package of ours, as a model file."""

from __future__ import annotations

import argparse

from napari_wavegms.commands.common.arguments import Commands, a_path, add_command, add_shared
from napari_wavegms.commands.common.console import note, show, show_json
from napari_wavegms.commands.common.output_paths import checked_output_file
from napari_wavegms.errors import CheckpointError
from napari_wavegms.storage.user_data import user_models_folder


def add_parser(commands: Commands) -> None:
    """Register the command with argparse."""
    parser = add_command(
        commands,
        "import",
        run,
        "Make a model file of a checkpoint of the official Wave-GMS code, or of a bioimage.io package",
        epilog="Only tensors are read from the checkpoint; no code in it is run. A package has to be one that "
        "'wavegms export' wrote; its model comes back bit for bit.",
    )
    parser.add_argument(
        "checkpoint", metavar="FILE", type=a_path, help="an official checkpoint (.pth), or a package (.bioimageio.zip)"
    )
    parser.add_argument("--output", metavar="FILE", type=a_path, required=True, help="the .safetensors file to write")
    add_shared(parser, "--json")


def run(options: argparse.Namespace) -> int:
    """Import the file and say how to use it."""
    if not options.checkpoint.is_file():
        raise CheckpointError(
            f"There is no file {options.checkpoint}. Choose an official checkpoint (.pth) or a .bioimageio.zip."
        )
    output = checked_output_file(options.output, [options.checkpoint], suffix=".safetensors")
    note("Loading PyTorch …")
    from napari_wavegms.exchange.bioimageio import unpack_model
    from napari_wavegms.model.official import import_official

    is_package = options.checkpoint.name.lower().endswith(".zip")
    card = (unpack_model if is_package else import_official)(options.checkpoint, output)
    if options.json:
        show_json({"path": str(output), "bytes": output.stat().st_size} | card.as_dict())
        return 0
    show(f"Imported {options.checkpoint.name} as {output}: {card.parameters:,} parameters.")
    show(f"Use it with --model {output}, or copy it to {user_models_folder()} to choose it by name.")
    return 0
