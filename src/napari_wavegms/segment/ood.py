"""Unlike what I know: a light that tells how far an image is from those the model learned from.

What is compared is the encoder's view of an image: the means of its four latent channels over all positions, and their
covariances, 14 numbers. Training images form a cloud of such points, described by a centre and a covariance that travel
in the model's card, and the distance is Mahalanobis' [1]_ to the nearest cloud. Pixels themselves do not travel.

The light tells of the image and not of the mask: a lesion can be missed on an image that looks familiar.

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

LEAST_IMAGES = 40
"""Fewer images do not tell how far apart images of one kind are."""

GREEN_SHARE, AMBER_SHARE = 0.95, 0.99
"""Share of the training images, held out in turn, that the green light takes in, and green and amber together."""

_FOLDS = 5

_DIGITS = 6  # significant ones in the card


@dataclass(frozen=True, slots=True)
class OODLevel:
    """A colour, and what it says in words; no colour where nothing is known."""

    colour: Colour
    sentence: str


UNKNOWN = OODLevel(
    "", "This model does not carry what its training images look like, so it cannot tell whether this one is like them."
)

STALE = OODLevel(
    "",
    "This version's encoder has changed since it looked at its training images, so it cannot tell what is like them.",
)


@dataclass(frozen=True, slots=True, eq=False)
class GaussianStats:
    """Points of NUMBERS coordinates: how many, their mean and their covariance (with divisor `count`)."""

    count: int
    centre: Array
    spread: Array

    @classmethod
    def of(cls, points: Array) -> GaussianStats:
        """Of points (N, NUMBERS)."""
        centre = points.mean(axis=0)
        return cls(len(points), centre, (points - centre).T @ (points - centre) / len(points))

    def joined(self, other: GaussianStats) -> GaussianStats:
        """The cloud of the points of both."""
        count = self.count + other.count
        a, b = self.count / count, other.count / count
        gap = self.centre - other.centre
        return GaussianStats(
            count,
            a * self.centre + b * other.centre,
            a * self.spread + b * other.spread + a * b * np.outer(gap, gap),
        )

    def distances(self, points: Array, like: Array | None = None) -> Array:
        """Mahalanobis distance of points (N, NUMBERS) over the root of NUMBERS, about 1 for the cloud's own.

        A few images tell where a cloud is and not how wide: the covariance is mixed with another one, `like`, which
        counts as much as NUMBERS images. Where a centre rests on few images, it may itself be off by its error.
        """
        spread = self.spread
        if like is not None:
            spread = (self.count * spread + NUMBERS * like) / (self.count + NUMBERS)
        spread = spread * (1 + 1 / self.count)
        # A constant coordinate would make any other value infinitely far.
        spread = spread + 1e-6 * np.trace(spread) / NUMBERS * np.eye(NUMBERS) + 1e-12 * np.eye(NUMBERS)
        gaps = points - self.centre
        squares = np.einsum("ni,ni->n", gaps, np.linalg.solve(spread, gaps.T).T)
        result: Array = np.sqrt(squares.clip(0) / NUMBERS)
        return result

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the card; of the covariance the lower triangle."""
        lower = self.spread[np.tril_indices(NUMBERS)]
        return {"count": self.count, "centre": _short(self.centre), "spread": _short(lower)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GaussianStats:
        """Read what `as_dict` wrote."""
        spread = np.zeros((NUMBERS, NUMBERS))
        spread[np.tril_indices(NUMBERS)] = np.asarray(values["spread"], np.float64)
        spread = spread + np.tril(spread, -1).T
        cloud = cls(int(values["count"]), np.asarray(values["centre"], np.float64), spread)
        if cloud.count < 1 or cloud.centre.shape != (NUMBERS,) or not np.isfinite(spread).all():
            raise ValueError("no cloud")
        return cloud


@dataclass(frozen=True, slots=True, eq=False)
class OODDetector:
    """What the images that a model learned from look like to its encoder.

    Attributes
    ----------
    trained : tuple of GaussianStats
        The training images, a cloud for each kind of image: between ultrasound and photographs lies nothing familiar.
    corrections : GaussianStats or None
        Images of later fine-tunings that left the encoder as it was.
    limits : tuple of float
        The largest distances of a green and of an amber light.
    encoder : str
        Fingerprint of the encoder that looked.
    """

    trained: tuple[GaussianStats, ...]
    corrections: GaussianStats | None
    limits: tuple[float, float]
    encoder: str = ""

    @classmethod
    def fit(cls, *kinds: Iterable[npt.ArrayLike], encoder: str = "") -> OODDetector:
        """Measure training images.

        The limits come from images that are held out in turn, five times a fifth: `GREEN_SHARE` and `AMBER_SHARE` of
        them are nearer.

        Parameters
        ----------
        *kinds : iterable of array-like of shape (4, h, w)
            For each kind of image the latents of each of its images, as `Segmenter.image_latents` and
            `Segmentation.latents` give them.
        encoder : str
            See `encoder_fingerprint`.

        Raises
        ------
        InputError
            If there are fewer than `LEAST_IMAGES` of a kind.
        """
        points = [_points(latents) for latents in kinds]
        if (least := min(map(len, points))) < LEAST_IMAGES:
            raise InputError(
                f"{least} training images came; to tell what is unlike them it takes {LEAST_IMAGES}. Add more, "
                "or go without the light."
            )
        held_out = np.concatenate([_held_out_distances(kind) for kind in points])
        green, amber = (float(limit) for limit in np.quantile(held_out, (GREEN_SHARE, AMBER_SHARE)))
        return cls(tuple(map(GaussianStats.of, points)), None, (green, amber), encoder)

    @classmethod
    def of(cls, card: ModelCard, network: WaveGMS) -> OODDetector | None:
        """What a model's card says of it; None if it says nothing, or something of another encoder.

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
        """Distance of an image's latents (4, h, w) to the nearest cloud; about 1 for an image of the same kind.

        Raises
        ------
        InputError
            If they have another shape.
        """
        point = describe(latents)[None]
        distances = [cloud.distances(point)[0] for cloud in self.trained]
        if self.corrections is not None:
            like = np.mean([cloud.spread for cloud in self.trained], axis=0)
            distances.append(self.corrections.distances(point, like)[0])
        return float(min(distances))

    def light(self, distance: float) -> OODLevel:
        """The light for a distance; what is no number is red."""
        green, amber = self.limits
        images = f"the {self._count} images that the model learned from"
        if distance <= green:
            return OODLevel("green", f"This image looks like {images}.")
        if distance <= amber:
            return OODLevel(
                "amber", f"This image looks a bit unlike {images}: 19 in 20 are more alike. Check its mask with care."
            )
        return OODLevel(
            "red",
            f"This image looks unlike {images}: 99 in 100 are more alike. Its mask may be wrong altogether; correct a "
            "few images of its kind and fine-tune.",
        )

    def with_corrections(self, latents: Iterable[npt.ArrayLike]) -> OODDetector:
        """Also know these images, of a fine-tuning that left the encoder as it was; the limits stay."""
        points = _points(latents)
        if not len(points):
            return self
        more = GaussianStats.of(points)
        return replace(self, corrections=more if self.corrections is None else self.corrections.joined(more))

    @property
    def _count(self) -> int:
        return sum(cloud.count for cloud in self.trained) + (self.corrections.count if self.corrections else 0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `ModelCard.familiarity`, about 2 kB."""
        return {
            "encoder": self.encoder,
            "limits": _short(np.asarray(self.limits)),
            "trained": [cloud.as_dict() for cloud in self.trained],
            "corrections": None if self.corrections is None else self.corrections.as_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OODDetector | None:
        """Read what `as_dict` wrote; None for anything else, because a light is no reason to refuse a model."""
        try:
            kinds, more = values["trained"], values["corrections"]
            green, amber = (float(limit) for limit in values["limits"])
            # The first cards had one cloud and no list of them.
            trained = tuple(map(GaussianStats.from_dict, [kinds] if isinstance(kinds, Mapping) else kinds))
            return cls(trained, GaussianStats.from_dict(more) if more else None, (green, amber), str(values["encoder"]))
        except (KeyError, TypeError, ValueError):
            return None


def no_ood_level(card: ModelCard) -> OODLevel:
    """What to show where `OODDetector.of` gives None."""
    return STALE if OODDetector.from_dict(card.familiarity) else UNKNOWN


def describe(latents: npt.ArrayLike) -> Array:
    """The point of an image: means and covariances of its latent channels over positions, (NUMBERS,).

    Raises
    ------
    InputError
        If the latents are not (4, h, w).
    """
    values = np.asarray(latents, np.float64)
    if values.ndim != 3 or values.shape[0] != CHANNELS or not values.size:
        raise InputError(f"Latents of shape {values.shape} came; they are (4, rows, columns), of one image.")
    flat = values.reshape(CHANNELS, -1)
    covariance = np.cov(flat, bias=True)[np.triu_indices(CHANNELS)]
    return np.concatenate([flat.mean(axis=1), covariance])


def encoder_fingerprint(network: WaveGMS, preprocessing: Mapping[str, Any]) -> str:
    """Identity of how a network looks at images: its encoder's weights and the frame, 16 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(dict(preprocessing), sort_keys=True).encode())
    for name, tensor in sorted(network.encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]


def _held_out_distances(points: Array) -> Array:
    """Distances of each fifth of a kind's points to the cloud of the others."""
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
