"""bioimage.io packages: a model for the programs of that community, with our own model file inside."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_wavegms import __version__
from napari_wavegms.errors import CheckpointError
from napari_wavegms.exchange.onnx_file import INPUT, OPSET, Exported, export_onnx, notes_on
from napari_wavegms.model.card import ModelCard
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.segment.preprocessing import FloatArray, Preprocessing
from napari_wavegms.storage.atomic import atomic_write

_FORMAT = "0.5.12"  # of bioimage.io's description, which bioimageio.core 0.11 reads
_ONNX, _MODEL = "model.onnx", ".safetensors"
_LARGEST = 2**30  # bytes that are taken out of a package
_LICENCES = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "MIT",
}
_ORANGE = np.array([230, 159, 0])


def export_package(model: Path, output: Path) -> Exported:
    """Write a model file as a bioimage.io package (format 0.5).

    Raises `CheckpointError` if the model does not fit, see `export_onnx`.
    """
    import yaml

    with tempfile.TemporaryDirectory() as work, atomic_write(output) as file:
        folder = Path(work)
        exported = export_onnx(model, folder / _ONNX)
        shutil.copyfile(model, folder / _own_file(exported.card))
        description = _described(exported, folder)
        (folder / "rdf.yaml").write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
            for part in sorted(folder.iterdir()):
                package.write(part, part.name)
    return exported


def unpack_model(package: Path, output: Path) -> ModelCard:
    """Take our model file out of a package, byte by byte. Raises `CheckpointError` where there is none that fits."""
    try:
        with zipfile.ZipFile(package) as files, tempfile.TemporaryDirectory() as work:
            found = [info for info in files.infolist() if info.filename.endswith(_MODEL)]
            if len(found) != 1 or found[0].file_size > _LARGEST:
                raise CheckpointError(
                    f"{package.name} has no Wave-GMS model in it. Choose a package that 'wavegms export' wrote."
                )
            model = Path(work) / Path(found[0].filename).name
            with files.open(found[0]) as packed, model.open("wb") as target:
                shutil.copyfileobj(packed, target)
            card = load_checkpoint(model)[1]
            with atomic_write(output) as file:
                shutil.copyfile(model, file)
            return card
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{package.name} is damaged ({error}). Copy or download it again.") from error


def parent_of(card: ModelCard) -> str:
    """The model that this one was fine-tuned from, by name; empty where no such step is on its card."""
    steps = (str(entry.get("start") or entry.get("from") or "") for entry in reversed(card.lineage))
    return next((name for name in steps if name and name != "scratch"), "")


def licences_of(card: ModelCard) -> list[str]:
    """Those of the usual licences, by their SPDX names, that the card's terms name.

    Examples
    --------
    >>> licences_of(ModelCard("own", terms="Weights: BSD-3-Clause, as the program; the trunk: Apache-2.0 (NOTICE)."))
    ['BSD-3-Clause', 'Apache-2.0']
    """
    words = re.findall(r"[A-Za-z0-9][\w.+-]*[\w+]", card.terms)
    return [word for word in dict.fromkeys(words) if word in _LICENCES]


def documentation(exported: Exported) -> str:
    """The package's README: what the card says, and how to make the model's input."""
    card, size = exported.card, exported.frame.shape[-1]
    steps = "\n".join(f"- {step}" for step in _steps(card))
    scores = "\n".join(f"- {where}: {_flat(values)}" for where, values in card.scores.items())
    classes, parent = ", ".join(card.class_names[1:]), parent_of(card)
    text = f"""
# {card.title or card.name}

{card.description}

**{card.disclaimer}**

## Input

One frame of {size} x {size} pixels, red, green and blue in [0, 1]; a grey image is repeated three times. Preprocessing
is not part of this package. napari-wavegms makes the frame so:

{steps}

## Outputs

`probability` has one map for each class but the background: {classes}. Foreground is what reaches {card.threshold:g}.
`latents` are what the probability is decoded from; most programs do not need them.
{_KEEPER if exported.has_keeper else ""}

## Validation

{scores or "No scores stand on the model's card."}

{"They were measured in napari-wavegms, with both networks." if scores and exported.has_keeper else ""}

The test input is a synthetic image. ONNX Runtime's probabilities differ from PyTorch's by at most
{exported.difference:.1g} on it. Score the model on images of your own before you trust it.

## Data and terms

{card.data}

{f"Fine-tuned from the model {parent}." if parent else ""}

{card.terms or "The model's card names no terms of use: ask whoever made it."}

## In napari

`wavegms import PACKAGE.bioimageio.zip --output {card.name}{_MODEL}` takes the model out of this package, for
`wavegms segment` and for fine-tuning.
"""
    return re.sub(r"\n{3,}", "\n\n", text).lstrip()


_KEEPER = """
In napari-wavegms a second network answers the kinds of image that this one did not learn last. It is in the model file,
and not in the ONNX file."""


def _steps(card: ModelCard) -> Iterator[str]:
    """How an image becomes the model's input."""
    rules = Preprocessing.from_dict(card.preprocessing)
    low, high = rules.window or rules.percentiles
    ends = (
        f"the value {low:g} becomes 0 and {high:g}"
        if rules.window
        else f"the {low:g} percentile becomes 0 and the {high:g}"
    )
    yield f"images of 8 bits are divided by 255; of others {ends} becomes 1;"
    if rules.margins:
        yield "uniform margins, such as black bars, are left out;"
    fit = "stretched" if rules.aspect == "squash" else "fitted, with black around it,"
    yield f"the image is {fit} to {rules.size} x {rules.size} pixels, bilinear, area-weighted where it shrinks."


def _flat(values: Any) -> str:
    items = values.items() if isinstance(values, dict) else ()
    return ", ".join(f"{name} {value:g}" if isinstance(value, float | int) else name for name, value in items)


def _described(exported: Exported, folder: Path) -> dict[str, Any]:
    """Everything that the package says, as the format has it, its files in `folder`."""
    card = exported.card
    Image.fromarray(_cover(exported)).save(folder / "cover.png")
    (folder / "README.md").write_text(documentation(exported), encoding="utf-8")
    parent = re.sub(r"[^a-z0-9_.-]", "-", parent_of(card).lower())
    description = {
        "format_version": _FORMAT,
        "type": "model",
        "name": _name(f"Wave-GMS {card.title or card.name}"),
        "description": f"{card.description or card.title} {card.disclaimer}".strip()[:1000],
        "version": __version__,
        "authors": [{"name": "The napari-wavegms developers"}],
        "cite": [{"text": "Wave-GMS, arXiv 2510.03216", "doi": "10.48550/arXiv.2510.03216"}],
        "license": _licence(card, folder),
        "parent": {"id": parent} if parent else None,
        "tags": ["2d", "semantic-segmentation", "medical-imaging", "wave-gms", "onnx"],
        "covers": [_file(folder / "cover.png")],
        "documentation": _file(folder / "README.md"),
        "attachments": [_file(path) for path in (folder / _own_file(card), *_trunk_papers(card, folder))],
        "inputs": [_tensor(INPUT, exported.frame, ["red", "green", "blue"], folder)],
        "outputs": [
            _tensor("probability", exported.probability, [_word(name) for name in card.class_names[1:]], folder),
            _tensor(
                "latents", exported.latents, [], folder, scale=exported.frame.shape[-1] / exported.latents.shape[-1]
            ),
        ],
        "weights": {"onnx": _file(folder / _ONNX) | {"opset_version": OPSET}},
        "config": {"wavegms": {"model": card.name, "checksum": card.checksum}},
    }
    return {name: value for name, value in description.items() if value}


def _tensor(name: str, values: FloatArray, channels: list[str], folder: Path, scale: float = 1.0) -> dict[str, Any]:
    """A tensor of the format, and its test values beside it; channels without fitting names are numbered."""
    np.save(folder / f"test_{name}.npy", values)
    if len(set(channels)) != values.shape[1]:
        channels = [f"{name}{number}" for number in range(values.shape[1])]
    sides = [
        {"type": "space", "id": axis, "size": size} | ({} if name == INPUT else {"scale": scale})
        for axis, size in zip("yx", values.shape[2:], strict=True)
    ]
    return {
        "id": name,
        "description": notes_on(name),
        "axes": [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *sides],
        "data": {"type": "float32", "range": [None, None] if name == "latents" else [0.0, 1.0]},
        "test_tensor": _file(folder / f"test_{name}.npy"),
    }


def _file(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _licence(card: ModelCard, folder: Path) -> str | dict[str, str] | None:
    """The licence that the terms name; where they name several, a file with the terms; None where they name none."""
    found = licences_of(card)
    if len(found) < 2:
        return found[0] if found else None
    file = folder / "LICENSE.md"
    file.write_text(card.terms + "\n", encoding="utf-8")
    return _file(file)


def _trunk_papers(card: ModelCard, folder: Path) -> list[Path]:
    """What the licence of a context trunk asks to be passed on with it."""
    names = ("context-trunk.NOTICE", "context-trunk.LICENSE") if card.context else ()
    for name in names:
        (folder / name).write_bytes(resources.files("napari_wavegms.assets").joinpath(name).read_bytes())
    return [folder / name for name in names]


def _cover(exported: Exported) -> NDArray[np.uint8]:
    """The phantom, and beside it the phantom with the model's mask, 2:1."""
    image = exported.phantom.image
    picture = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    painted = np.where(exported.mask[:, :, None], picture // 2 + _ORANGE // 2, picture).astype(np.uint8)
    return np.concatenate([picture, painted], axis=1)


def _own_file(card: ModelCard) -> str:
    return f"{_name(card.name).replace(' ', '-')}{_MODEL}"


def _name(text: str) -> str:
    """A name as the format takes it: plain letters, 5 to 64."""
    return " ".join(re.sub(r"[^A-Za-z0-9_+() -]+", " ", text).split())[:64].strip().ljust(5, "_")


def _word(text: str) -> str:
    return re.sub(r"\W", "_", text)
