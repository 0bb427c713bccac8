"""Out-of-distribution detection: how different an image is from a model's training images.

The frozen context trunk describes an image: its features are averaged over all positions and projected to 32 numbers.
The projection (linear discriminant analysis [1]_ of the sets that the generalist learns from,
`recipes/familiarity.py`) is scaled so that images of one kind vary by about one in each number, while kinds lie far
apart. Each kind of training image is a mean and a limit in the model's card, which contains no pixels. What was
measured once holds for every model that is fine-tuned from it, because this trunk never learns.

The level is about the image and not about the mask: a lesion can be missed on an image that looks familiar.

References
----------
.. [1] Fisher, R. A. (1936). The use of multiple measurements in taxonomic problems. Annals of Eugenics 7, 179-188.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.segment.preprocessing import Preprocessing, prepare

if TYPE_CHECKING:
    import torch

    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.model.context import ContextTrunk

Colour = Literal["green", "amber", "red", ""]

Array = npt.NDArray[np.float64]

NUMBERS = 32

LEAST_IMAGES = 10  # fewer do not show how far a kind of image reaches

MOST_CORRECTIONS = 100  # about 25 kB of the card

GREEN_SHARE = 0.95  # of the training images of a kind, each left out of its mean in turn

AMBER = 1.2
"""Distance up to which an image is amber: 99 % of the training images lie nearer."""

NEARER = 0.7
"""An image is of a kind that is kept if it lies so much nearer to it than to what was learned since."""

USUAL_LIMIT = 1.3
"""The mean limit of the fourteen kinds that the generalist learns from, for images that have no limit of their own."""

FRAME = Preprocessing(margins=True)
"""How images are prepared for the trunk here, whatever a model's own preprocessing is."""

PROJECTION = "context-kinds.npy"


@dataclass(frozen=True, slots=True)
class OODLevel:
    """A colour and its explanation; no colour where nothing is known."""

    colour: Colour
    sentence: str


UNKNOWN = OODLevel(
    "",
    "This model has no statistics of its training images that this version can read, so it is unknown whether this "
    "image is similar to them.",
)


@dataclass(frozen=True, slots=True, eq=False)
class ImageKind:
    """Training images of one kind: their number, their mean (NUMBERS,), and how far from it they lie.

    `relearned` says that the network of a model file learned this kind last, and not its keeper.
    """

    count: int
    mean: Array
    limit: float
    relearned: bool = False

    def distance(self, point: Array) -> float:
        """Distance of an image to this kind; at most 1 is green."""
        return float(_distances(point, self.mean)) / self.limit

    @classmethod
    def of(cls, points: Array) -> ImageKind:
        """The kind of points (N, NUMBERS); raises `InputError` for fewer than `LEAST_IMAGES`."""
        if len(points) < LEAST_IMAGES:
            raise InputError(
                f"There are {len(points)} training images of a kind, but {LEAST_IMAGES} are needed for their "
                "statistics. Add more."
            )
        mean = points.mean(axis=0)
        # The mean of n points without one of them is n / (n - 1) times as far from that one.
        within = _distances(points, mean) * len(points) / (len(points) - 1)
        return cls(len(points), mean, float(np.quantile(within, GREEN_SHARE)))


@dataclass(frozen=True, slots=True, eq=False)
class ImageKinds:
    """The kinds of image that a model has learned from, for `ModelCard.familiarity`.

    `corrected` (N, NUMBERS) are images of later fine-tunings, at most `MOST_CORRECTIONS`: too few of a kind for a mean
    and a limit, so that each makes known what lies around it.
    """

    kinds: tuple[ImageKind, ...]
    corrected: Array = field(default_factory=lambda: np.zeros((0, NUMBERS)))

    def distance(self, point: Array) -> float:
        """Distance of an image (see `describe`) to the nearest kind or correction; at most 1 is green."""
        return min(self._nearest(point).distance(point), self._from_corrections(point))

    def is_kept(self, point: Array) -> bool:
        """Whether the keeper answers an image: it is clearly nearest to a kind that was not learned since."""
        kept, since = (
            min((kind.distance(point) for kind in self.kinds if kind.relearned == relearned), default=math.inf)
            for relearned in (False, True)
        )
        return kept < NEARER * min(since, self._from_corrections(point))

    def exchanged(self, points: Sequence[Array]) -> ImageKinds | None:
        """The same with network and keeper exchanged, if it is the keeper's kinds that most of these images are of.

        None otherwise, and where something was corrected before: those images are known to the network alone.
        """
        kept = [self.is_kept(point) and self._nearest(point).distance(point) <= AMBER for point in points]
        if len(self.corrected) or 2 * sum(kept) <= len(points):
            return None
        return replace(self, kinds=tuple(replace(kind, relearned=not kind.relearned) for kind in self.kinds))

    def _nearest(self, point: Array) -> ImageKind:
        return min(self.kinds, key=lambda kind: kind.distance(point))

    def _from_corrections(self, point: Array) -> float:
        return float(_distances(point, self.corrected).min(initial=math.inf)) / USUAL_LIMIT

    def level(self, distance: float) -> OODLevel:
        """The level of a distance; NaN is red."""
        images = f"the {sum(kind.count for kind in self.kinds) + len(self.corrected)} training images"
        if distance <= 1:
            return OODLevel("green", f"Similar to {images}.")
        if distance <= AMBER:
            return OODLevel("amber", f"Somewhat different from {images}. Check the mask carefully.")
        return OODLevel(
            "red",
            f"Very different from {images}. The mask may be entirely wrong; correct a few images of this kind and "
            "fine-tune.",
        )

    def with_corrections(self, points: Iterable[Array]) -> ImageKinds:
        """Add images that a later model learned from, in place of earlier corrections that are too many."""
        added = np.array([*points], np.float64).reshape(-1, NUMBERS)
        hit = {id(kind) for point in added if (kind := self._nearest(point)).distance(point) <= AMBER}
        kinds = tuple(replace(kind, relearned=kind.relearned or id(kind) in hit) for kind in self.kinds)
        return ImageKinds(kinds, np.concatenate([self.corrected, added])[-MOST_CORRECTIONS:])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `ModelCard.familiarity`."""
        kinds = [
            {"count": kind.count, "mean": _short(kind.mean), "limit": _short(kind.limit)}
            | ({"relearned": True} if kind.relearned else {})
            for kind in self.kinds
        ]
        return {"trunk": _space().fingerprint, "kinds": kinds, "corrected": [_short(p) for p in self.corrected]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageKinds | None:
        """Read what `as_dict` wrote; None for anything else, which is no reason to refuse a model.

        Examples
        --------
        >>> from napari_wavegms import Segmenter
        >>> known = ImageKinds.from_dict(Segmenter.from_checkpoint("default", device="cpu").card.familiarity)
        >>> known.level(known.distance(describe(np.zeros((40, 60), np.uint8)))).colour
        'red'
        """
        try:
            kinds = tuple(
                ImageKind(int(kind["count"]), _point(kind["mean"]), float(kind["limit"]), kind.get("relearned") is True)
                for kind in values["kinds"]
            )
            corrected = np.array([_point(point) for point in values["corrected"]]).reshape(-1, NUMBERS)
            if not kinds or not all(kind.limit > 0 and kind.count > 0 for kind in kinds):
                return None
            return cls(kinds, corrected) if values["trunk"] == _space().fingerprint else None
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            return None


def level_of(card: ModelCard) -> Callable[[npt.ArrayLike], OODLevel]:
    """What tells how far an image is from the training images of a model."""
    known = ImageKinds.from_dict(card.familiarity)
    return lambda image: UNKNOWN if known is None else known.level(known.distance(describe(image)))


def describe(image: npt.ArrayLike) -> Array:
    """The point (NUMBERS,) of an image (H, W) or (H, W, 1, 3 or 4); 20 ms of a processor."""
    import torch

    return describe_frames(torch.from_numpy(prepare(image, FRAME).pixels)[None])[0]  # type: ignore[no-any-return]


def describe_frames(frames: torch.Tensor) -> Array:
    """Points (B, NUMBERS) of images (B, 3, S, S) in [0, 1] that are prepared like `FRAME`."""
    return points_of(_space().trunk(frames))


def points_of(features: torch.Tensor) -> Array:
    """Points (B, NUMBERS) of context features (B, 256, h, w) of images that are prepared like `FRAME`."""
    return features.float().mean(dim=(2, 3)).double().cpu().numpy() @ _space().projection.T


@dataclass(frozen=True, slots=True)
class _Space:
    """What makes points of images."""

    trunk: ContextTrunk
    fingerprint: str  # of the trunk
    projection: Array  # (NUMBERS, 256)


@lru_cache(maxsize=1)
def _space() -> _Space:
    from napari_wavegms.model.context import ContextTrunk

    with resources.as_file(resources.files("napari_wavegms.assets") / PROJECTION) as file:
        trunk = ContextTrunk.from_file()
        return _Space(trunk, trunk.fingerprint, np.load(file, allow_pickle=False).astype(np.float64))


def _distances(points: Array, others: Array) -> Array:
    """Root mean square differences of coordinates."""
    return np.sqrt(((points - others) ** 2).mean(axis=-1))  # type: ignore[no-any-return]


def _point(values: Any) -> Array:
    point = np.asarray(values, np.float64)
    if point.shape != (NUMBERS,) or not np.isfinite(point).all():
        raise ValueError("not a point")
    return point


def _short(values: npt.ArrayLike) -> Any:
    """Values with four significant digits."""
    return np.vectorize(lambda value: float(f"{value:.4g}"))(values).tolist()
