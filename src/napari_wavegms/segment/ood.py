"""Out-of-distribution detection: how different an image is from the training images.

An image is described by 14 numbers: the means of its four latent channels over all positions, and their covariances.
Each kind of training image is described by the mean and covariance of such points, which are stored in the model's
card; the distance is Mahalanobis' [1]_ to the nearest kind. The card contains no pixels.

The level is about the image and not about the mask: a lesion can be missed on an image that looks familiar.

References
----------
.. [1] Lee, K., et al. (2018). A simple unified framework for detecting out-of-distribution samples and adversarial
   attacks. NeurIPS. arXiv:1807.03888.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError

if TYPE_CHECKING:
    from napari_wavegms.model.card import ModelCard
    from napari_wavegms.model.network import WaveGMS


Colour = Literal["green", "amber", "red", ""]

Array = npt.NDArray[np.float64]

CHANNELS = 4

NUMBERS = CHANNELS + CHANNELS * (CHANNELS + 1) // 2

LEAST_IMAGES = 40  # fewer do not show how much images of one kind vary

GREEN_SHARE, AMBER_SHARE = 0.95, 0.99  # of held-out training images that are green, and green or amber

_FOLDS = 5

_DIGITS = 6  # significant ones in the card


@dataclass(frozen=True, slots=True)
class OODLevel:
    """A colour and its explanation; no colour where nothing is known."""

    colour: Colour
    sentence: str


UNKNOWN = OODLevel(
    "", "This model has no statistics of its training images, so it is unknown whether this image is similar to them."
)

STALE = OODLevel(
    "",
    "This version's encoder has changed since its statistics were measured, so similarity to them is unknown.",
)


@dataclass(frozen=True, slots=True, eq=False)
class GaussianStats:
    """Count, mean and covariance (with divisor `count`) of points of NUMBERS coordinates."""

    count: int
    centre: Array
    spread: Array

    @classmethod
    def of(cls, points: Array) -> GaussianStats:
        """Statistics of points (N, NUMBERS)."""
        centre = points.mean(axis=0)
        return cls(len(points), centre, (points - centre).T @ (points - centre) / len(points))

    def joined(self, other: GaussianStats) -> GaussianStats:
        """Statistics of the points of both."""
        count = self.count + other.count
        a, b = self.count / count, other.count / count
        gap = self.centre - other.centre
        return GaussianStats(
            count,
            a * self.centre + b * other.centre,
            a * self.spread + b * other.spread + a * b * np.outer(gap, gap),
        )

    def distances(self, points: Array, like: Array | None = None) -> Array:
        """Mahalanobis distance of points (N, NUMBERS) over the root of NUMBERS; about 1 for points of this kind.

        A few images determine a mean but not a covariance, so that is mixed with another one, `like`, which counts as
        much as NUMBERS images; the error of the mean is added.
        """
        spread = self.spread
        if like is not None:
            spread = (self.count * spread + NUMBERS * like) / (self.count + NUMBERS)
        spread = spread * (1 + 1 / self.count)
        # With a constant coordinate any other value would be infinitely far.
        spread = spread + 1e-6 * np.trace(spread) / NUMBERS * np.eye(NUMBERS) + 1e-12 * np.eye(NUMBERS)
        gaps = points - self.centre
        squares = np.einsum("ni,ni->n", gaps, np.linalg.solve(spread, gaps.T).T)
        result: Array = np.sqrt(squares.clip(0) / NUMBERS)
        return result

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the card, with the lower triangle of the covariance."""
        lower = self.spread[np.tril_indices(NUMBERS)]
        return {"count": self.count, "centre": _short(self.centre), "spread": _short(lower)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GaussianStats:
        """Read what `as_dict` wrote."""
        spread = np.zeros((NUMBERS, NUMBERS))
        spread[np.tril_indices(NUMBERS)] = np.asarray(values["spread"], np.float64)
        spread = spread + np.tril(spread, -1).T
        stats = cls(int(values["count"]), np.asarray(values["centre"], np.float64), spread)
        if stats.count < 1 or stats.centre.shape != (NUMBERS,) or not np.isfinite(spread).all():
            raise ValueError("no such statistics")
        return stats


@dataclass(frozen=True, slots=True, eq=False)
class OODDetector:
    """Statistics of training images, as a model's encoder represents them.

    Attributes
    ----------
    trained : tuple of GaussianStats
        One for each kind of training image, because nothing familiar lies between ultrasound and photographs.
    corrections : GaussianStats or None
        Images of later fine-tunings that did not change the encoder.
    limits : tuple of float
        The largest distances that are green and amber.
    encoder : str
        See `encoder_fingerprint`.
    """

    trained: tuple[GaussianStats, ...]
    corrections: GaussianStats | None
    limits: tuple[float, float]
    encoder: str = ""

    @classmethod
    def fit(cls, *kinds: Iterable[npt.ArrayLike], encoder: str = "") -> OODDetector:
        """Fit the latents (4, h, w) of each image of each kind; raises `InputError` for fewer than `LEAST_IMAGES`.

        The limits come from five-fold cross-validation: `GREEN_SHARE` and `AMBER_SHARE` of held-out images are nearer.
        """
        points = [_points(latents) for latents in kinds]
        if (least := min(map(len, points))) < LEAST_IMAGES:
            raise InputError(
                f"There are {least} training images of a kind, but {LEAST_IMAGES} are needed for their statistics. "
                "Add more."
            )
        held_out = np.concatenate([_held_out_distances(kind) for kind in points])
        green, amber = (float(limit) for limit in np.quantile(held_out, (GREEN_SHARE, AMBER_SHARE)))
        return cls(tuple(map(GaussianStats.of, points)), None, (green, amber), encoder)

    @classmethod
    def of(cls, card: ModelCard, network: WaveGMS) -> OODDetector | None:
        """The detector in a model's card; None if there is none, or one of another encoder.

        Examples
        --------
        >>> from napari_wavegms import Segmenter
        >>> segmenter = Segmenter.from_checkpoint("default", device="cpu")
        >>> known = OODDetector.of(segmenter.card, segmenter.model)
        >>> found = segmenter.segment(np.zeros((40, 60), np.uint8))
        >>> (no_ood_level(segmenter.card) if known is None else known.light(known.distance(found.latents))).colour
        'red'
        """
        known = cls.from_dict(card.familiarity)
        fits = known is not None and known.encoder == encoder_fingerprint(network, card.preprocessing)
        return known if fits else None

    def distance(self, latents: npt.ArrayLike) -> float:
        """Distance of an image's latents (4, h, w) to the nearest kind; about 1 for an image of that kind."""
        point = describe(latents)[None]
        distances = [stats.distances(point)[0] for stats in self.trained]
        if self.corrections is not None:
            like = np.mean([stats.spread for stats in self.trained], axis=0)
            distances.append(self.corrections.distances(point, like)[0])
        return float(min(distances))

    def light(self, distance: float) -> OODLevel:
        """The level of a distance; NaN is red."""
        green, amber = self.limits
        every = (*self.trained, *([self.corrections] if self.corrections else []))
        images = f"the {sum(stats.count for stats in every)} training images"
        if distance <= green:
            return OODLevel("green", f"Similar to {images}.")
        if distance <= amber:
            return OODLevel(
                "amber", f"Somewhat different from {images}: 19 in 20 are closer. Check the mask carefully."
            )
        return OODLevel(
            "red",
            f"Very different from {images}: 99 in 100 are closer. The mask may be entirely wrong; correct a few images "
            "of this kind and fine-tune.",
        )

    def with_corrections(self, latents: Iterable[npt.ArrayLike]) -> OODDetector:
        """Add images of a fine-tuning that did not change the encoder; the limits stay."""
        points = _points(latents)
        if not len(points):
            return self
        more = GaussianStats.of(points)
        return replace(self, corrections=more if self.corrections is None else self.corrections.joined(more))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `ModelCard.familiarity`, about 2 kB."""
        return {
            "encoder": self.encoder,
            "limits": _short(np.asarray(self.limits)),
            "trained": [stats.as_dict() for stats in self.trained],
            "corrections": None if self.corrections is None else self.corrections.as_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OODDetector | None:
        """Read what `as_dict` wrote; None for anything else, which is no reason to refuse a model."""
        try:
            kinds, more = values["trained"], values["corrections"]
            green, amber = (float(limit) for limit in values["limits"])
            # The first cards had one stats and no list of them.
            trained = tuple(map(GaussianStats.from_dict, [kinds] if isinstance(kinds, Mapping) else kinds))
            return cls(trained, GaussianStats.from_dict(more) if more else None, (green, amber), str(values["encoder"]))
        except (KeyError, TypeError, ValueError):
            return None


def no_ood_level(card: ModelCard) -> OODLevel:
    """The level where `OODDetector.of` returns None."""
    return STALE if OODDetector.from_dict(card.familiarity) else UNKNOWN


def describe(latents: npt.ArrayLike) -> Array:
    """Means and covariances of an image's latent channels (4, h, w) over positions, (NUMBERS,)."""
    values = np.asarray(latents, np.float64)
    if values.ndim != 3 or values.shape[0] != CHANNELS or not values.size:
        raise InputError(f"The latents have shape {values.shape}, but those of an image are (4, rows, columns).")
    flat = values.reshape(CHANNELS, -1)
    covariance = np.cov(flat, bias=True)[np.triu_indices(CHANNELS)]
    return np.concatenate([flat.mean(axis=1), covariance])


def encoder_fingerprint(network: WaveGMS, preprocessing: Mapping[str, Any]) -> str:
    """Hash of a network's encoder weights and preprocessing, 16 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(dict(preprocessing), sort_keys=True).encode())
    for name, tensor in sorted(network.encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]


def _held_out_distances(points: Array) -> Array:
    """Distances of each fifth of the points to the statistics of the others."""
    folds = np.random.default_rng(0).permutation(np.arange(len(points)) % _FOLDS)
    return np.concatenate(
        [GaussianStats.of(points[folds != fold]).distances(points[folds == fold]) for fold in range(_FOLDS)]
    )


def _points(latents: Iterable[npt.ArrayLike]) -> Array:
    points = [describe(image) for image in latents]
    return np.stack(points) if points else np.zeros((0, NUMBERS))


def _short(values: Array) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]


@dataclass(frozen=True, slots=True, eq=False)
class KindMeans:
    """Kinds of image by the means of their pooled context features, which are the same whatever a model has learned.

    Attributes
    ----------
    names : tuple of str
        The kinds.
    means : ndarray of shape (K, C)
        The mean point of each.
    spread : ndarray of shape (C,)
        Standard deviation of each coordinate about the mean of its kind.
    limits : ndarray of shape (K,)
        The distance within which lie 95 % of the images of each kind, each left out of its mean in turn.
    """

    names: tuple[str, ...]
    means: Array
    spread: Array
    limits: Array

    @classmethod
    def of(cls, kinds: Mapping[str, Array]) -> KindMeans:
        """Of points (N, C) of each kind, at least two, as `ContextTrunk.pooled` gives them; ten tell kinds apart.

        Raises
        ------
        InputError
            If there is no kind, or one has fewer than two images.
        """
        if not kinds or any(len(points) < 2 for points in kinds.values()):
            raise InputError("Each kind of image takes at least two images; add some, or leave the kind out.")
        means = np.stack([points.mean(axis=0) for points in kinds.values()])
        gaps = np.concatenate([points - mean for points, mean in zip(kinds.values(), means, strict=True)])
        spread = np.sqrt((gaps**2).sum(axis=0) / (len(gaps) - len(means))) + 1e-6
        limits = []
        for points, mean in zip(kinds.values(), means, strict=True):
            within = np.sqrt((((points - mean) / spread) ** 2).mean(axis=1))
            # The mean of n points without one of them is n / (n - 1) times as far from that one.
            limits.append(np.quantile(within, GREEN_SHARE) * len(points) / (len(points) - 1))
        return cls(tuple(kinds), means, spread, np.array(limits))

    def distances(self, points: Array) -> Array:
        """Distances (N, K) of points (N, C) to the means, in standard deviations of a coordinate."""
        gaps = (points[:, None] - self.means[None]) / self.spread
        result: Array = np.sqrt((gaps**2).mean(axis=2))
        return result

    def nearest(self, points: Array) -> list[tuple[str, bool]]:
        """For each point the nearest kind, and whether the point lies within the limit of any."""
        distances = self.distances(points)
        return [(self.names[row.argmin()], bool((row <= self.limits).any())) for row in distances]
