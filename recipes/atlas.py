"""What the generalist learns from: BUSI, ISIC-2017 and the sets of the atlas whose terms let weights ship.

Near-duplicates (a perceptual hash) and whatever else belongs together (a patient, a sequence, distorted copies of one
original) stay on one side of the split between train and val.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_wavegms.files.reading import read_image
from napari_wavegms.segment.preprocessing import Preprocessing, as_image, content_box, prepare, scale_intensity

HASH_SIDE = 16
ALIKE = 25
"""Bits of 256 in which near-duplicates differ at most; the nearest neighbours of BUSI's other images differ in 80."""
HELD_OUT, LARGEST_HELD_OUT = 0.12, 0.3
"""Shares of the images that make up val: at least and, where a patient has many, at most."""


@dataclass(frozen=True)
class Source:
    """One set of images: where it lies, whom to cite, and what belongs together.

    Attributes
    ----------
    name, citation, terms : str
        As the model's card gives them.
    group : str
        A regular expression; images whose names it matches alike belong together. The name itself if empty.
    upright : bool
        Whether up and down mean something, as in ultrasound.
    ultrasound : bool
        Whether it gets the views of ultrasound: speckle, gain over depth, calipers, exchanged columns.
    tasks : dict
        Label value to the name of the task that asks for it alone; empty for a set of one class.
    weight : float
        How often it is drawn, beside the square root of its number of images.
    """

    name: str
    citation: str
    terms: str = "CC BY 4.0"
    group: str = ""
    upright: bool = False
    ultrasound: bool = False
    tasks: tuple[tuple[int, str], ...] = ()
    weight: float = 1.0


_HEART = (
    "left ventricle",
    "right ventricle",
    "left atrium",
    "right atrium",
    "aorta",
    "pulmonary artery",
    "superior vena cava",
    "inferior vena cava",
)
SOURCES = (
    # The two kinds of image that the program is asked about most; by the root of its size each would get an eighth.
    Source("busi", "Al-Dhabyani et al., Data in Brief 28, 2020", "CC0", upright=True, ultrasound=True, weight=4),
    Source("isic2017", "Codella et al., ISBI 2018", "CC-0", weight=2.5),
    Source("ccaus_carotid_us", "Momot, Mendeley Data V1, 2022", group=r"^(\d+)VAS", upright=True, ultrasound=True),
    # Hand-drawn and rough, some over a whole region.
    Source("cdd_cesm_mammo", "Khaled et al., Sci Data 9:122, 2022", group=r"(P\d+)", upright=True, weight=0.5),
    Source("dsb2018_fluo", "Caicedo et al., Nat Methods 16, 2019", "CC0"),
    Source("dsb2018_histo_brightfield", "Caicedo et al., Nat Methods 16, 2019", "CC0"),
    # Thinner than a cell of the latents, and never learned so far.
    Source("fives_vessels", "Jin et al., Sci Data 9:475, 2022", weight=0.3),
    Source(
        "hc18_fetal_head_us",
        "van den Heuvel et al., PLoS ONE 13(8), 2018",
        group=r"^(\d+)_",
        upright=True,
        ultrasound=True,
    ),
    Source(
        "hvsmr_heart_mri",
        "Pace et al., Sci Data 11, 2024",
        group=r"^(\d+)_",
        tasks=tuple((label, f"heart: {name}") for label, name in enumerate(_HEART, start=1)),
    ),
    Source("nuinsseg_oesophagus_he", "Mahbod et al., Sci Data 11, 2024", group=r"(\d+)$"),
    Source("octa_faz", "Wang Y. et al., Zenodo 5075194, 2021", group=r"(\d+)$"),
    Source(
        "rings_prostate_histo",
        "Salvi et al., Artif Intell Med, 2021",
        group=r"^(P\d+)_",
        tasks=((2, "prostate: tumour glands"),),
    ),
    Source(
        "spider_spine_mri",
        "van der Graaf et al., Sci Data 11:264, 2024",
        group=r"^(\d+)_",
        upright=True,
        tasks=((1, "spine: vertebra"), (2, "spine: canal"), (3, "spine: disc")),
    ),
    Source("tnbc_nuclei_he", "Naylor et al., IEEE TMI 38, 2019", group=r"(\d+)$"),
)
TASKS = tuple(name for source in SOURCES for _, name in source.tasks)
"""All tasks that ask for one class of several. The union of all classes is no task of its own: it has no vector."""
ONLY_TASK = {"rings_prostate_histo": 2}
"""Sets whose images with this label leave other structures unmarked, so that the union is no truth there."""


@dataclass(frozen=True)
class Framed:
    """One image in the working frame: as it comes, and without its margins where it has any.

    Attributes
    ----------
    views : tuple of (ndarray (3, S, S) uint8, ndarray (S, S) uint8)
        Image and label values; the last one without margins.
    """

    source: Source
    name: str
    views: tuple[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]], ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """Label values of its mask."""
        return tuple(int(value) for value in np.unique(self.views[0][1]) if value)


def read(data: Path, source: Source, rules: Preprocessing) -> tuple[list[Framed], list[Framed]]:
    """The train and the val part of a set in the working frame; images without any mask are left out."""
    folder = data / source.name
    folder = folder if folder.is_dir() else data / "atlas" / "train" / source.name
    files = sorted((folder / "images").iterdir())
    train, val = divided(files, folder / "split.json", source)
    return tuple(
        [frame for file in part if (frame := framed(source, file, folder / "masks" / f"{file.stem}.png", rules))]
        for part in (train, val)
    )


def divided(files: Sequence[Path], split: Path, source: Source) -> tuple[list[Path], list[Path]]:
    """Train and val: the set's own split without train's near-duplicates of val, or one by groups."""
    groups = grouped(files, source.group)
    if split.exists():
        lists = json.loads(split.read_text(encoding="utf-8"))
        held = {group for file, group in zip(files, groups, strict=True) if file.stem in lists["val"]}
        val = [file for file in files if file.stem in lists["val"]]
        train = [
            file for file, group in zip(files, groups, strict=True) if file.stem in lists["train"] and group not in held
        ]
        return train, val
    # In the order of a hash of their names, so that the split is the same everywhere and follows nothing.
    order = sorted(set(groups), key=lambda group: zlib.crc32(f"{source.name} {files[group].stem}".encode()))
    chosen: set[int] = set()
    for group in order:
        held_out = sum(groups.count(each) for each in chosen)
        if held_out >= HELD_OUT * len(files):
            break
        if held_out + groups.count(group) <= LARGEST_HELD_OUT * len(files):
            chosen.add(group)
    parts: tuple[list[Path], list[Path]] = ([], [])
    for file, group in zip(files, groups, strict=True):
        parts[group in chosen].append(file)
    return parts


def grouped(files: Sequence[Path], pattern: str) -> list[int]:
    """For each file the index of the first file that it belongs together with, by its name or by its looks."""
    hashes = np.array([difference_hash(file) for file in files])
    first: dict[str, int] = {}
    parent = list(range(len(files)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    def join(pairs: Iterable[tuple[int, int]]) -> None:
        for a, b in pairs:
            low, high = sorted((root(a), root(b)))
            parent[high] = low

    for i, file in enumerate(files):
        found = re.search(pattern, file.stem) if pattern else None
        join([(first.setdefault(found[1] if found else file.stem, i), i)])
        alike = np.flatnonzero((hashes[:i] != hashes[i]).sum(axis=1) <= ALIKE)
        join((int(j), i) for j in alike)
    return [root(i) for i in range(len(files))]


def difference_hash(file: Path) -> npt.NDArray[np.bool_]:
    """256 bits: where the small grey image brightens from left to right."""
    with Image.open(file) as image:
        small = np.asarray(image.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)).astype(int)
    return (np.diff(small, axis=1) > 0).ravel()


def framed(source: Source, image: Path, mask: Path, rules: Preprocessing) -> Framed | None:
    """One image in the working frame; None where its mask is empty."""
    pixels = as_image(read_image(image).pixels)
    with Image.open(mask) as opened:
        labels = np.asarray(opened)
    labels = labels if source.tasks else (labels > 0).astype(np.uint8)
    if not labels.any():
        return None
    views = [in_frame(pixels, labels, rules)]
    top, left, height, width = content_box(scale_intensity(pixels, rules.percentiles)[0])
    inner = np.s_[top : top + height, left : left + width]
    # Margins that somebody marked are none.
    if (height, width) != labels.shape and np.count_nonzero(labels[inner]) == np.count_nonzero(labels):
        views.append(in_frame(pixels[inner], labels[inner], rules))
    # What is a few pixels large may be gone in the working frame.
    kept = tuple(view for view in views if view[1].any())
    return Framed(source, image.stem, kept) if kept else None


def in_frame(
    pixels: npt.NDArray[np.generic], labels: npt.NDArray[np.uint8], rules: Preprocessing
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Image (3, S, S) and label values (S, S), as the package frames images and masks."""
    image = np.rint(prepare(pixels, rules).pixels * 255).astype(np.uint8)
    rows, columns = (
        np.minimum(((np.arange(rules.size) + 0.5) * n / rules.size).astype(int), n - 1) for n in labels.shape
    )
    return image, labels[np.ix_(rows, columns)].astype(np.uint8)
