"""Strong random views for training a generalist: what other clinics' machines, operators and exports do to images.

All geometry is one affine map with a random aspect; margins are its padding. Photometry is that of the image's kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

WHITE, YELLOW, GREEN = (1.0, 1.0, 1.0), (1.0, 0.9, 0.2), (0.3, 1.0, 0.4)


@dataclass(frozen=True)
class Strength:
    """How often and how much; the defaults are what the generalist was trained with."""

    plain: float = 0.15
    """Share of the views that are turned or mirrored at most."""
    zoom: float = 0.3
    """Largest change of the logarithm of the size."""
    aspect: float = 0.2
    """Largest change of the logarithm of the aspect."""
    rotation: float = 20.0
    """Largest rotation in degrees; a third of it for what stands upright."""
    shift: float = 0.12
    """Largest shift as a share of the frame."""
    margins: float = 0.2
    """Share of the views that get uniform margins, in one direction or both."""
    photometry: float = 0.8
    """Share of the views whose grey values or colours change."""
    text: float = 0.2
    """Share of the ultrasound views with burnt-in text or calipers; a third of it for other kinds."""
    columns: float = 0.25
    """Share of the ultrasound views that take a band of whole columns from another image."""


def view(
    image: Tensor,
    labels: Tensor,
    rng: np.random.Generator,
    strength: Strength,
    *,
    upright: bool,
    ultrasound: bool,
    size: int,
) -> tuple[Tensor, Tensor]:
    """Draw one view.

    Parameters
    ----------
    image : torch.Tensor of shape (3, S, S), float32 in [0, 1]
    labels : torch.Tensor of shape (S, S), uint8
    rng : numpy.random.Generator
        Decides all of it.
    upright, ultrasound : bool
        What may happen to images of this kind.
    size : int
        Side of the view.

    Returns
    -------
    torch.Tensor of shape (3, size, size), torch.Tensor of shape (size, size)
    """
    plain = rng.random() < strength.plain
    matrix = turn_matrix(int(rng.integers(2)), 0 if upright else int(rng.integers(4)))
    fill: Tensor | None = None
    if not plain:
        matrix = matrix @ warp_matrix(rng, strength, upright)
        if rng.random() < strength.margins:
            matrix = matrix @ margin_matrix(rng)
            fill = torch.tensor(float(rng.choice([0.0, 0.0, 0.0, 0.04, 1.0])))
    image, labels = warped(image, labels, matrix, size, fill)
    if not plain:
        if rng.random() < strength.photometry:
            image = photometry(image, rng, ultrasound)
        if rng.random() < (strength.text if ultrasound else strength.text / 3):
            image = burnt_in(image, labels, rng)
    return image, labels


def turn_matrix(mirrored: int, quarters: int) -> np.ndarray:
    """The 2 × 3 map of output to input coordinates (-1 to 1) of a mirror image and quarter turns, as 3 × 3."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters]
    turned = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], float)
    return turned @ np.diag([-1.0 if mirrored else 1.0, 1, 1])


def warp_matrix(rng: np.random.Generator, strength: Strength, upright: bool) -> np.ndarray:
    """Rotation, zoom, aspect and shift about the centre."""
    angle = math.radians(rng.uniform(-1, 1) * strength.rotation / (3 if upright else 1))
    zoom, aspect = rng.uniform(-1, 1, 2) * (strength.zoom, strength.aspect)
    shift = rng.uniform(-1, 1, 2) * 2 * strength.shift
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = rotation @ np.diag(np.exp([zoom + aspect, zoom - aspect]))
    matrix[:2, 2] = shift
    return matrix


def margin_matrix(rng: np.random.Generator) -> np.ndarray:
    """The image squeezed into a part of the frame: bars beside it, above it, or all around."""
    kind = rng.integers(3)
    across = rng.uniform(0.55, 0.95) if kind != 1 else 1.0
    along = rng.uniform(0.55, 0.95) if kind != 0 else 1.0
    scale = np.array([across, along])
    centre = rng.uniform(-1, 1, 2) * (1 - scale) * (rng.random() < 0.5)
    matrix = np.diag([1 / scale[0], 1 / scale[1], 1.0])
    matrix[:2, 2] = -centre / scale
    return matrix


def warped(image: Tensor, labels: Tensor, matrix: np.ndarray, size: int, fill: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sample image (bilinear) and label values (nearest) by a map of output to input coordinates.

    Without a fill the surroundings are a reflection; with one they are of that grey and unlabelled.
    """
    theta = torch.from_numpy(matrix[:2]).float()[None]
    grid = F.affine_grid(theta, [1, 1, size, size], align_corners=False)
    around = "reflection" if fill is None else "zeros"
    base = 0.0 if fill is None else fill
    if size < image.shape[-1]:
        # So that halving does not alias.
        image = F.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False)[0]
    planes = F.grid_sample(image[None] - base, grid, mode="bilinear", padding_mode=around, align_corners=False)[0]
    marks = F.grid_sample(labels[None, None].float(), grid, mode="nearest", padding_mode=around, align_corners=False)
    return planes + base, marks[0, 0].to(labels.dtype)


def photometry(image: Tensor, rng: np.random.Generator, ultrasound: bool) -> Tensor:
    """Gain, contrast and gamma; then what befalls ultrasound, or colours, or any picture."""
    size = image.shape[-1]
    image = image.clamp(0, 1) ** math.exp(rng.uniform(-0.35, 0.35))
    mean = image.mean()
    image = (image - mean) * math.exp(rng.uniform(-0.3, 0.3)) + mean * math.exp(rng.uniform(-0.25, 0.25))
    if ultrasound:
        if rng.random() < 0.35:
            image = image * (1 + rng.uniform(0.05, 0.35) * smooth_noise(rng, size, int(rng.integers(size // 4, size))))
        if rng.random() < 0.35:  # gain over depth, or a shadow at one side
            knots = torch.from_numpy(np.exp(rng.uniform(-0.5, 0.5, 4))).float()
            profile = F.interpolate(knots[None, None], size=size, mode="linear", align_corners=True)[0, 0]
            image = image * (profile[:, None] if rng.random() < 0.75 else profile[None, :])
    elif not is_grey(image):
        if rng.random() < 0.5:
            image = image * torch.from_numpy(np.exp(rng.uniform(-0.15, 0.15, (3, 1, 1)))).float()
        grey = image.mean(0, keepdim=True)
        image = grey + (image - grey) * (0.0 if rng.random() < 0.1 else float(rng.uniform(0.6, 1.4)))
    elif rng.random() < 0.1:
        image = 1 - image
    if rng.random() < 0.15:
        image = image + rng.uniform(0.01, 0.06) * torch.from_numpy(rng.standard_normal((1, size, size))).float()
    if rng.random() < 0.15:
        coarse = int(size * rng.uniform(0.35, 0.8))
        small = F.interpolate(image[None], size=coarse, mode="bilinear", antialias=True, align_corners=False)
        image = F.interpolate(small, size=size, mode="bilinear", align_corners=False)[0]
    return image.clamp(0, 1)


def is_grey(image: Tensor) -> bool:
    """Whether all three channels are alike, but for what compression does."""
    return bool((image.amax(0) - image.amin(0)).mean() < 0.02)


def smooth_noise(rng: np.random.Generator, size: int, grain: int) -> Tensor:
    """Normal noise (size, size) whose grains are size / grain pixels wide."""
    noise = torch.from_numpy(rng.standard_normal((1, 1, grain, grain))).float()
    return F.interpolate(noise, size=size, mode="bilinear", align_corners=False)[0, 0]


def burnt_in(image: Tensor, labels: Tensor, rng: np.random.Generator) -> Tensor:
    """Text near an edge, or calipers with a dotted line: about the structure, or anywhere."""
    image = image.clone()
    size = image.shape[-1]
    colour = torch.tensor((WHITE, WHITE, YELLOW, GREEN)[int(rng.integers(4))])[:, None]
    if rng.random() < 0.5:
        scale = max(1, size // 112)
        for _ in range(int(rng.integers(1, 4))):
            top = int(rng.choice([rng.uniform(0, 0.12), rng.uniform(0.82, 0.93)]) * size)
            left = int(rng.uniform(0, 0.75) * size)
            dots = rng.random((5, 4 * int(rng.integers(3, 12)))) < 0.55
            dots[:, 3::4] = False
            write(image, np.kron(dots, np.ones((scale, scale), bool)), top, left, colour)
        return image
    for _ in range(int(rng.integers(1, 3))):
        ends = rng.uniform(0.15, 0.85, (2, 2)) * size
        inside = torch.nonzero(labels)
        if len(inside) and rng.random() < 0.6:
            direction = rng.standard_normal(2)
            along = inside.numpy() @ direction
            ends = inside.numpy()[[along.argmin(), along.argmax()]].astype(float)
        for row, column in ends:
            arm = max(2, size // 60)
            cross = np.zeros((2 * arm + 1, 2 * arm + 1), bool)
            cross[arm] = cross[:, arm] = True
            write(image, cross, int(row) - arm, int(column) - arm, colour)
        if rng.random() < 0.6:
            for t in np.linspace(0, 1, int(rng.integers(8, 24))):
                row, column = ends[0] * (1 - t) + ends[1] * t
                write(image, np.ones((1, 1), bool), int(row), int(column), colour)
    return image


def write(image: Tensor, dots: np.ndarray, top: int, left: int, colour: Tensor) -> None:
    """Put dots of one colour (3, 1) on an image (3, S, S) in place; what lies outside is left out."""
    rows, columns = np.nonzero(dots)
    rows, columns = rows + top, columns + left
    inside = (rows >= 0) & (rows < image.shape[1]) & (columns >= 0) & (columns < image.shape[2])
    image[:, rows[inside], columns[inside]] = colour


def with_columns_of(
    image: Tensor, labels: Tensor, other: Tensor, other_labels: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Exchange a band of whole columns, as depth means the same in both (CutMix: Yun et al., ICCV 2019)."""
    size = image.shape[-1]
    width = int(rng.uniform(0.2, 0.5) * size)
    left = int(rng.integers(0, size - width + 1))
    image, labels = image.clone(), labels.clone()
    band = slice(left, left + width)
    image[..., band], labels[..., band] = other[..., band], other_labels[..., band]
    return image, labels
