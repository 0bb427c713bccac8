"""What the shipped models are made of: data sets, their terms, and the stages of each training."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_wavegms.learn.config import Augmentation, TrainConfig

COMMON = TrainConfig(
    batch=8,
    decoded_levels=("out",),
    align_warped=False,
    average_decay=0.995,
    augmentation=Augmentation(jitter=0.2, jitter_probability=0.3, warp_probability=0.25),
)
# Small frames first, where an epoch costs a third; the network does not carry over to larger ones by itself.
SMALL = replace(COMMON, epochs=36, size=128, learning_rate=2e-3, validate_every=36)
FULL = replace(COMMON, epochs=10, size=224, learning_rate=1e-3, warmup_epochs=1, validate_every=1)
LONG = replace(COMMON, epochs=45, size=224, learning_rate=1.5e-3, warmup_epochs=1, validate_every=3)
# Ultrasound has skin above and depth below: the last epochs see it only as it comes, and mirrored.
UPRIGHT = replace(
    COMMON,
    epochs=16,
    size=224,
    learning_rate=1e-3,
    warmup_epochs=1,
    validate_every=2,
    average_decay=0.998,
    augmentation=replace(COMMON.augmentation, upright=True),
)

# From a model that knows one of two data sets to one that knows both.
JOINT = replace(LONG, epochs=14, validate_every=2, average_decay=0.998)
# Its loss on what it learns from was still no lower than on val: more of the same, in smaller steps.
FURTHER = replace(JOINT, epochs=28, batch=4, learning_rate=1e-3)
# And then one of them alone again.
AGAIN = replace(UPRIGHT, epochs=10, batch=4, learning_rate=7e-4)


@dataclass(frozen=True)
class DataSet:
    """One source of pairs: its name in scores, whom to cite, and the terms of its images."""

    name: str
    citation: str
    terms: str
    upright: bool = False
    """Whether its images have an up and a down, and are mirrored at most where data sets are learned together."""


BUSI = DataSet("BUSI", "Al-Dhabyani et al., Data in Brief 28:104863, 2020", "CC0 1.0 as republished", upright=True)
ISIC = DataSet("ISIC-2017", "task 1, Codella et al., ISBI 2018", "CC-0")


@dataclass(frozen=True)
class Recipe:
    """One shipped model: what its card says, what it learns from, and how."""

    title: str
    description: str
    sets: tuple[DataSet, ...]
    stages: dict[str, TrainConfig]
    start: str = ""
    """The model that it goes on from, a shipped one or a file; random weights if empty."""

    def data(self, learned: list[int], chosen: list[int]) -> str:
        """The card's words on the training data; counts are of the data sets in order."""
        return " ".join(
            f"{source.name} ({source.citation}): {new} to learn from, {held} to choose the epoch by."
            for source, new, held in zip(self.sets, learned, chosen, strict=True)
        )

    @property
    def terms(self) -> str:
        """The card's words on what the weights and the training images may be used for."""
        if len(self.sets) == 1:
            images, papers = self.sets[0].terms, "their paper"
        else:
            images, papers = " and ".join(f"{source.terms} ({source.name})" for source in self.sets), "their papers"
        return f"Weights: BSD-3-Clause, as the program. The training images are {images}; cite {papers}."


RECIPES = {
    # What the shipped models began as.
    "ultrasound-first": Recipe(
        "Lesions in breast ultrasound",
        "Wave-GMS trained on breast ultrasound (BUSI, benign and malignant lesions).",
        (BUSI,),
        {"small": SMALL, "full": FULL, "long": LONG, "upright": UPRIGHT},
    ),
    "both": Recipe(
        "Lesions in breast ultrasound and dermoscopy",
        "Wave-GMS trained on breast ultrasound (BUSI) and dermoscopic photographs (ISIC-2017) together.",
        (BUSI, ISIC),
        {"joint": JOINT, "further": FURTHER},
        start="runs/ultrasound-first.safetensors",
    ),
    # The shipped models.
    "breast-ultrasound": Recipe(
        "Lesions in breast ultrasound",
        "Wave-GMS trained on breast ultrasound (BUSI, benign and malignant lesions).",
        (BUSI,),
        {"again": AGAIN},
        start="runs/both.safetensors",
    ),
    "skin-lesion": Recipe(
        "Skin lesions in dermoscopy",
        "Wave-GMS trained on dermoscopic photographs (ISIC-2017, moles and melanomas).",
        (ISIC,),
        {"again": replace(AGAIN, epochs=6, augmentation=COMMON.augmentation)},
        start="runs/both.safetensors",
    ),
    "generalist": Recipe(
        "Many kinds of image: ultrasound, skin, microscopy, MRI and more",
        "Two Wave-GMS networks: one for breast ultrasound and dermoscopy, and one with context features for twelve "
        "other kinds of medical image and for all new ones. The default, and the start for fine-tuning.",
        (BUSI, ISIC),
        {},  # nothing is trained here: recipes/train_generalist.py and recipes/average.py
    ),
}
