"""Train the shipped breast-ultrasound model: `train_shipped.py breast-ultrasound`, in the folder runs/default.

Its command stands in the cards of models that it made:

    python recipes/train_default.py --data ../shared/data/busi --taesd ../shared/weights/taesd \
        --output src/napari_wavegms/assets/breast-ultrasound.safetensors

It takes the other options of `train_shipped.py` too.
"""

from __future__ import annotations

import sys

from train_shipped import main

if __name__ == "__main__":
    main(["breast-ultrasound", "--run", "runs/default", *sys.argv[1:]])
