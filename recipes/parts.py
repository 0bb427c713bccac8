"""Divide a model file whose trunk learned into two files of at most 6 MB, as `recipes/checkpoints/` keeps them.

    python recipes/parts.py runs/trunk/averaged.safetensors --output recipes/checkpoints/generalist-context.safetensors

writes that file without the trunk and generalist-context-trunk.safetensors beside it; what reads such a file as a start
(`recipes/train_generalist.py --start`) takes both together.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import load_file, save_file

from napari_wavegms.model.card import HEADER_KEY, read_card


def divide(model: Path, output: Path) -> tuple[Path, Path]:
    """Write all but the trunk to `output`, and the trunk beside it."""
    tensors, header = load_file(model), {HEADER_KEY: json.dumps(read_card(model).as_dict())}
    trunk = {name: tensor for name, tensor in tensors.items() if name.startswith("trunk.")}
    save_file({name: tensor for name, tensor in tensors.items() if name not in trunk}, output, metadata=header)
    save_file(trunk, trunk_of(output))
    return output, trunk_of(output)


@contextmanager
def whole(model: Path) -> Iterator[Path]:
    """The file itself, or, while it is needed, one that is put together with the trunk beside it."""
    if not trunk_of(model).exists():
        yield model
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / model.name
        header = {HEADER_KEY: json.dumps(read_card(model).as_dict())}
        save_file(load_file(model) | load_file(trunk_of(model)), file, metadata=header)
        yield file


def trunk_of(model: Path) -> Path:
    """Where the trunk of a divided file lies."""
    return model.with_name(f"{model.stem}-trunk.safetensors")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    for part in divide(options.model, options.output):
        print(f"{part}: {part.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
