"""How exactly an exported model answers: masks by ONNX Runtime against those of the same network in torch.

    python benchmarks/exported.py --data ../shared/data/busi --data ../shared/data/isic2017 --each 40

Each folder has `images`; every so many of them is taken. Needs the extra `onnx`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from onnxruntime import InferenceSession

from napari_wavegms.exchange.onnx_file import INPUT, export_onnx
from napari_wavegms.files.reading import read_image
from napari_wavegms.learn.metrics import dice
from napari_wavegms.model.checkpoint import load_checkpoint
from napari_wavegms.model.codec import load_codec
from napari_wavegms.model.device import choose_device
from napari_wavegms.model.registry import DEFAULT, resolve
from napari_wavegms.segment.preprocessing import prepare, restore
from napari_wavegms.segment.segmenter import Inference, Segmenter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--each", type=int, default=40, help="images of each folder")
    parser.add_argument("--model", default=DEFAULT)
    options = parser.parse_args()
    model = resolve(options.model)
    network, card = load_checkpoint(model)
    ours = Segmenter(network, card, load_codec(), choose_device("cpu"))  # its first network, which is the exported one
    exact = Inference(ours.model, ours.codec, "cpu", bfloat16=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export_onnx(model, file)
        session = InferenceSession(file, providers=["CPUExecutionProvider"])
    print(f"{card.name}: DSC of the masks, and the largest difference between the probabilities")
    for data in options.data:
        files = sorted((data / "images").iterdir())
        scores, differences = [], []
        for path in files[:: max(1, len(files) // options.each)][: options.each]:
            prepared = prepare(read_image(path).pixels, ours.preprocessing)
            frame = prepared.pixels[None]
            theirs = session.run(None, {INPUT: frame})[0][0]
            own = exact.predict(torch.from_numpy(frame))[0].numpy()
            differences.append(np.abs(theirs - own).max())
            masks = [[restore(one, prepared) >= card.threshold for one in maps] for maps in (theirs, own)]
            scores += [dice(a, b) for a, b in zip(*masks, strict=True)]
        print(
            f"{data.name}: {len(differences)} images, DSC at least {min(scores):.6f}, mean {np.mean(scores):.6f}, "
            f"probabilities within {max(differences):.1e}"
        )


if __name__ == "__main__":
    main()
