"""Synthetic images with a known lesion, to try everything offline: breast ultrasound, a cine loop of it, and a mole.

Nothing is loaded and no patient is shown; every pixel follows from the seed. The ultrasound is made as a scanner makes
it: scatterers of random phase (fully developed speckle [1]_), weighted by the echo strength of each tissue, blurred by
the probe's point-spread function, compounded from a few looks, and the envelope log-compressed. The lesions differ as
textbooks say that cysts, fibroadenomas and carcinomas do [2]_. The mole is white light through melanin, after Beer and
Lambert.

References
----------
.. [1] Wagner, R. F., et al. (1983). Statistics of speckle in ultrasound B-scans. IEEE Trans. Sonics Ultrason. 30(3).
.. [2] Stavros, A. T., et al. (1995). Solid breast nodules: use of sonography ... Radiology 196(1), 123-134.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wavegms.errors import InputError
from napari_wavegms.segment.postprocess import fill_holes, keep_largest

Field = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
LayerData = tuple[Pixels, dict[str, Any], str]

LEAST_SIDE = 32
DYNAMIC_RANGE = 60.0  # dB from black to white
LOOKS = 3  # compounding: that many independent speckle patterns are averaged
MELANIN = np.array([0.45, 1.0, 1.35])  # it takes more from blue than from red


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A synthetic image and the truth about it."""

    image: Pixels  # (H, W) grey, (H, W, 3) RGB, or (T, H, W) frames
    mask: Pixels  # (H, W) or (T, H, W); 1 is lesion, 0 is not
    name: str  # what to call it, without a space


@dataclass(frozen=True, slots=True)
class _Lesion:
    """What a kind of breast lesion looks like; strengths in dB, lengths in pixels of a 256-row image."""

    echo: float  # strength inside, where white is 0
    texture: float  # unevenness inside
    softness: float  # width of the margin
    waviness: float  # irregularity of the outline
    rim: float  # bright line where the beam meets the margin square on
    behind: float  # enhancement (+) or shadow (-) behind it


CYST = _Lesion(echo=-61.0, texture=0.8, softness=0.9, waviness=0.05, rim=7.0, behind=9.0)
FIBROADENOMA = _Lesion(echo=-47.5, texture=2.2, softness=1.2, waviness=0.10, rim=6.0, behind=4.0)
CARCINOMA = _Lesion(echo=-48.0, texture=3.2, softness=2.6, waviness=0.20, rim=2.0, behind=-9.0)
# Solid benign lesions are the commonest in practice.
KINDS = (CYST, CARCINOMA, FIBROADENOMA, FIBROADENOMA)


def ultrasound_phantom(seed: int = 0, shape: tuple[int, int] = (256, 320)) -> Phantom:
    """Make a B-mode ultrasound of a breast with one dark lesion.

    Parameters
    ----------
    seed : int
        From 0; another seed is another patient.
    shape : tuple of int
        Rows and columns, each at least 32.

    Returns
    -------
    Phantom
        Image (H, W) and mask (H, W). The lesion takes 5 to 15 % of the image.

    Raises
    ------
    InputError
        If the shape is too small, or the seed is no whole number from 0.

    Examples
    --------
    >>> phantom = ultrasound_phantom(seed=0)
    >>> phantom.image.shape, bool(phantom.image[phantom.mask == 1].mean() < phantom.image.mean())
    ((256, 320), True)
    """
    cine = ultrasound_stack(1, shape, seed)
    return Phantom(cine.image[0], cine.mask[0], f"ultrasound_phantom_{seed}")


def ultrasound_stack(frames: int = 12, shape: tuple[int, int] = (256, 320), seed: int = 0) -> Phantom:
    """Make an ultrasound cine loop: the breast moves as with breathing, the lesion moves and deforms with it.

    Parameters
    ----------
    frames : int
        Number of frames, from 1. The first is `ultrasound_phantom` of the same seed.
    shape : tuple of int
        Rows and columns, each at least 32.
    seed : int
        From 0; another seed is another patient.

    Returns
    -------
    Phantom
        Image (T, H, W) and mask (T, H, W).

    Raises
    ------
    InputError
        If the shape is too small, or the seed or the number of frames is no whole number from 0 or 1.
    """
    canvas = _canvas(seed, shape, full=(256, 320))
    count = _whole(frames, 1, "number of frames")
    lesion = KINDS[canvas.rng.integers(len(KINDS))]
    outline = canvas.outline(area=(0.06, 0.13), ratio=(1.2, 1.9), row=0.41, waviness=lesion.waviness)
    breast = _breast(canvas)
    speckle = canvas.rng.standard_normal((2, LOOKS, 2, *canvas.shape))
    images, masks = [], []
    for frame in range(count):
        breath = 2 * math.pi * frame / max(count, 12)
        shift = (5 * canvas.scale * math.sin(breath), 4.5 * canvas.scale * (1 - math.cos(breath)))
        echo, mask = _echoes(breast, lesion, outline.moved(shift, 0.35 * math.sin(breath)), shift)
        # The probe never sees quite the same scatterers twice: speckle turns slowly into other speckle.
        pattern = math.cos(0.12 * frame) * speckle[0] + math.sin(0.12 * frame) * speckle[1]
        images.append(_b_mode(echo, pattern, canvas.scale))
        masks.append(mask)
    return Phantom(np.stack(images), np.stack(masks), f"ultrasound_stack_{seed}")


def skin_lesion_phantom(seed: int = 0, shape: tuple[int, int] = (256, 256)) -> Phantom:
    """Make a dermoscopy image of skin with one pigmented lesion, hairs and a vignette.

    Parameters
    ----------
    seed : int
        From 0; another seed is another patient.
    shape : tuple of int
        Rows and columns, each at least 32.

    Returns
    -------
    Phantom
        Image (H, W, 3) RGB and mask (H, W). The lesion takes 8 to 25 % of the image.

    Raises
    ------
    InputError
        If the shape is too small, or the seed is no whole number from 0.

    Examples
    --------
    >>> phantom = skin_lesion_phantom(seed=0)
    >>> phantom.image.shape, phantom.mask.shape
    ((256, 256, 3), (256, 256))
    """
    from scipy import ndimage

    canvas = _canvas(seed, shape, full=(256, 256))
    outline = canvas.outline(area=(0.10, 0.22), ratio=(1.0, 1.6), row=0.5, waviness=0.14)
    distance = outline.distance(canvas.shape)[0]
    distance += canvas.scale * (2.6 * canvas.noise(6, 6) + 0.7 * canvas.noise(1.8, 1.8))
    picture = _bare_skin(canvas) * np.exp(-MELANIN * _pigment(canvas, distance)[..., None])
    picture += (np.array([52.0, 36.0, 30.0]) - picture) * _hairs(canvas)[..., None]
    rows, columns = (np.linspace(-1, 1, side)[:, None] for side in canvas.shape)
    picture *= 1 - canvas.rng.uniform(0.06, 0.13) * (rows[..., None] ** 2 + columns**2) ** 1.5  # vignette
    picture = ndimage.gaussian_filter(picture, (0.6 * canvas.scale, 0.6 * canvas.scale, 0))
    picture += 1.5 * canvas.rng.standard_normal(picture.shape)
    mask = fill_holes(keep_largest((distance < 0).astype(np.uint8)))
    return Phantom(_as_pixels(picture), mask, f"skin_lesion_phantom_{seed}")


def ultrasound_sample() -> list[LayerData]:
    """Give napari the ultrasound phantom and its truth as layers."""
    return _layers(ultrasound_phantom(), ("y", "x"))


def ultrasound_stack_sample() -> list[LayerData]:
    """Give napari the ultrasound cine loop and its truth as layers."""
    return _layers(ultrasound_stack(), ("t", "y", "x"))


def skin_lesion_sample() -> list[LayerData]:
    """Give napari the skin phantom and its truth as layers."""
    return _layers(skin_lesion_phantom(), ("y", "x"))


def _layers(phantom: Phantom, axis_labels: tuple[str, ...]) -> list[LayerData]:
    about = {"axis_labels": axis_labels, "metadata": {"source": "synthetic, made by napari-wavegms; shows no patient"}}
    image = {"name": phantom.name, "rgb": phantom.image.ndim > phantom.mask.ndim, **about}
    return [(phantom.image, image, "image"), (phantom.mask, {"name": f"{phantom.name}_truth", **about}, "labels")]


@dataclass(frozen=True, slots=True)
class _Outline:
    """A tilted ellipse with a wavy edge; lengths in pixels, angles in radians."""

    row: float
    column: float
    half_height: float
    half_width: float
    tilt: float
    waves: tuple[tuple[float, float], ...]  # relative height and phase of 2, 3, ... waves around the edge

    def distance(self, shape: tuple[int, int]) -> tuple[Field, Field]:
        """About how far each pixel lies outside (inside: negative), and the angle at which it is seen."""
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        down, right = rows - self.row, columns - self.column
        along = (right * math.cos(self.tilt) + down * math.sin(self.tilt)) / self.half_width
        across = (down * math.cos(self.tilt) - right * math.sin(self.tilt)) / self.half_height
        angle = np.arctan2(across, along)
        edge = 1 + sum(height * np.cos(n * angle + phase) for n, (height, phase) in enumerate(self.waves, start=2))
        return (np.hypot(along, across) / edge - 1) * math.sqrt(self.half_height * self.half_width), angle

    def moved(self, shift: tuple[float, float], turn: float) -> _Outline:
        """The same elsewhere, and a little deformed where its waves turn."""
        height, width = self.half_height * (1 + turn / 4), self.half_width / (1 + turn / 4)
        waves = tuple((size, phase + turn) for size, phase in self.waves)
        return _Outline(self.row + shift[0], self.column + shift[1], height, width, self.tilt, waves)


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """What everything drawn shares: chance, size, and pixels per pixel of a full-sized image."""

    rng: np.random.Generator
    shape: tuple[int, int]
    scale: float

    def noise(self, down: float, right: float, rows: int | None = None) -> Field:
        """Noise of mean 0 and standard deviation 1, smooth over so many pixels of a full-sized image."""
        shape = (self.shape[0] if rows is None else rows, self.shape[1])
        frequencies = np.fft.fftfreq(shape[0])[:, None] * down, np.fft.rfftfreq(shape[1]) * right
        blur = np.exp(-2 * (math.pi * self.scale) ** 2 * (frequencies[0] ** 2 + frequencies[1] ** 2))
        noise = np.fft.irfft2(np.fft.rfft2(self.rng.standard_normal(shape)) * blur, s=shape)
        standard: Field = (noise - noise.mean()) / noise.std()
        return standard

    def along(self, right: float) -> Field:
        """The same for each column, (1, W)."""
        return self.noise(0, right, rows=1)

    def strands(self, down: float, right: float) -> Field:
        """Thin bent lines that fade in and out, 0 to 1."""
        return _line(self.noise(down, right), 0.13) * np.clip(0.3 + 0.8 * self.noise(down, right), 0, 1)

    def outline(self, area: tuple[float, float], ratio: tuple[float, float], row: float, waviness: float) -> _Outline:
        """An outline whose area, width to height and place (about `row`) are relative to the image."""
        rows, columns = self.shape
        wide = self.rng.uniform(*ratio)
        half_height = math.sqrt(self.rng.uniform(*area) * rows * columns / math.pi / wide)
        heights = waviness * self.rng.uniform(0.3, 1, 7) * (2 / np.arange(2, 9)) ** 1.5
        waves = tuple(zip(heights.tolist(), self.rng.uniform(0, 2 * math.pi, 7).tolist(), strict=True))
        centre = rows * (row + self.rng.uniform(-0.05, 0.05)), columns * self.rng.uniform(0.37, 0.63)
        return _Outline(*centre, half_height, half_height * wide, self.rng.uniform(-0.3, 0.3), waves)


@dataclass(frozen=True, slots=True, eq=False)
class _Breast:
    scale: float  # pixels per pixel of a full-sized image
    tissue: Field  # (H, W) echo strength in dB, in flat layers
    skin: Field  # (H, W) the same of gel and skin
    below_skin: Field  # (H, W) from 0 on the skin to 1 under it
    bend: Field  # (1, W) how far layers lie lower, in pixels
    inside: Field  # (H, W) unevenness within a lesion


def _breast(canvas: _Canvas) -> _Breast:
    wavy = np.linspace(0, 1, canvas.shape[0])[:, None] - 0.004 * canvas.along(30)
    skin = -27 - 14 * _line(wavy - 0.012, 0.007) + 11 * _line(wavy - 0.027, 0.004) + 7 * _line(wavy - 0.047, 0.004)
    return _Breast(
        scale=canvas.scale,
        tissue=_tissue(canvas),
        skin=skin + 2.5 * canvas.noise(0.8, 14),
        below_skin=_ramp((wavy - 0.055) / 0.006),
        bend=5 * canvas.scale * canvas.along(45),
        inside=canvas.noise(4, 6),
    )


def _tissue(canvas: _Canvas) -> Field:
    """Fat, fibroglandular tissue, muscle and what lies below, from the top down."""
    depth = np.linspace(0, 1, canvas.shape[0])[:, None]
    below_fat = depth - canvas.rng.uniform(0.17, 0.27) - 0.028 * canvas.along(24)
    below_gland = depth - canvas.rng.uniform(0.60, 0.72) - 0.02 * canvas.along(40)
    fat = -38.5 + 1.5 * canvas.noise(7, 14) + 1.3 * canvas.noise(1.2, 6) + 15 * canvas.strands(6, 40)
    gland = -30 + 4.5 * canvas.noise(1.8, 8) + 3 * canvas.noise(7, 20) + 6 * canvas.strands(4, 22)
    muscle = -42 + 3.5 * canvas.noise(1.5, 16) + 2.5 * canvas.noise(7, 30) + 15 * canvas.strands(5, 55)
    tissue = fat + (gland - fat) * _ramp(below_fat / 0.012)
    tissue += (muscle - tissue) * _ramp(below_gland / 0.02)
    tissue += 9 * _line(below_fat, 0.008) * np.clip(0.4 + canvas.along(20), 0, 1)
    tissue += 10 * _line(below_gland, 0.008) * np.clip(0.4 + canvas.along(25), 0, 1)
    tissue -= 15 * np.clip(depth - 0.35, 0, None) + 9 * np.clip((depth - 0.8) / 0.2, 0, 1)
    # Uneven contact of the probe and small shadows run along the beam and grow with depth.
    return tissue + (2.2 * canvas.along(26) + 0.8 * canvas.along(7)) * (0.2 + 1.6 * depth)


def _echoes(breast: _Breast, lesion: _Lesion, outline: _Outline, shift: tuple[float, float]) -> tuple[Field, Pixels]:
    """Put the lesion into the breast, with its bright margin and what the beam makes of it further down."""
    from scipy import ndimage

    scale = breast.scale
    distance, angle = outline.distance((breast.tissue.shape[0], breast.tissue.shape[1]))
    where = _displaced(breast, outline, distance, shift)
    tissue = ndimage.map_coordinates(breast.tissue, where, order=1, mode="nearest")
    inside = ndimage.map_coordinates(breast.inside, where, order=1, mode="nearest")
    weight = _ramp(-distance / (lesion.softness * scale))
    passed = ndimage.gaussian_filter(np.cumsum(weight, axis=0) / (2 * outline.half_height), (0, 3 * scale))
    # The beam glances off the sides: two thin shadows.
    sides = np.abs(np.gradient(ndimage.gaussian_filter(np.minimum(passed * 4, 1), (0, 3 * scale)), axis=1)) * 12 * scale
    echo: Field = tissue + (lesion.echo + lesion.texture * inside - tissue) * weight
    echo += lesion.rim * _line(distance - lesion.softness * scale, 2.2 * scale) * np.sin(angle) ** 2
    echo += (lesion.behind * passed - np.minimum(sides, 4)) * (1 - weight)
    return breast.skin + (echo - breast.skin) * breast.below_skin, (distance < 0).astype(np.uint8)


def _displaced(breast: _Breast, outline: _Outline, distance: Field, shift: tuple[float, float]) -> tuple[Field, Field]:
    """Where to look up tissue: bent layers that give way to the lesion and breathe, though not at the skin."""
    rows, columns = np.indices(distance.shape, dtype=float)
    aside = np.tanh((rows - outline.row) / outline.half_height) * _line(np.maximum(distance, 0), 22 * breast.scale)
    give = np.clip(rows / (0.25 * len(rows)), 0, 1)
    return rows - give * (breast.bend + 10 * breast.scale * aside + shift[0]), columns - give * shift[1]


def _b_mode(echo: Field, pattern: Field, scale: float) -> Pixels:
    """Scan echo strengths (H, W) with scatterers (looks, 2, H, W): blur, detect, compound and log-compress."""
    from scipy import ndimage

    axial, lateral = max(0.95 * scale, 0.6), max(2.1 * scale, 0.6)
    waves = ndimage.gaussian_filter(10 ** (echo / 20) * pattern, (0, 0, axial, lateral))
    # Blurring white noise by a Gaussian leaves 1 / (4 pi axial lateral) of its power; a wave has two parts.
    power = (waves**2).sum(axis=1).mean(axis=0) * 2 * math.pi * axial * lateral
    grey = 255 * (1 + 10 * np.log10(power + 10 ** (-DYNAMIC_RANGE / 10)) / DYNAMIC_RANGE)
    return _as_pixels(ndimage.gaussian_filter(np.clip(grey, 0, 255), 0.5 * scale))


def _bare_skin(canvas: _Canvas) -> Field:
    """Light from skin without pigment (H, W, 3): blood makes it uneven, fine lines cross it."""
    base = np.array([220.0, 183.0, 165.0]) + canvas.rng.normal(0, 9) + canvas.rng.normal(0, [2, 4, 6])
    flush = 5 * canvas.noise(40, 40) + 3 * canvas.noise(6, 6) + 7 * canvas.strands(7, 12)
    light = 6 * canvas.noise(70, 70) + 1.5 * canvas.noise(0.8, 3) + 1.5 * canvas.noise(3, 0.8)
    skin: Field = base + flush[..., None] * np.array([-0.3, -1.0, -0.8]) + light[..., None]
    return skin


def _pigment(canvas: _Canvas, distance: Field) -> Field:
    """Optical density of melanin: denser inwards, patchy, with a network and dark globules."""
    density = canvas.rng.uniform(0.4, 0.7) + 0.35 * _ramp((-distance / canvas.scale - 14) / 9)
    density += 0.22 * canvas.noise(16, 16) + 0.12 * canvas.noise(5, 5)
    density += 0.22 * _line(canvas.noise(1.9, 1.9), 0.5) + 0.5 * _ramp((canvas.noise(2.4, 2.4) - 2.2) / 0.2)
    # The eye sees the edge where the colour starts to change, a little outside of half the density.
    return np.clip(density, 0.15, None) * _ramp((1 - distance / canvas.scale) / canvas.rng.uniform(3, 5))


def _hairs(canvas: _Canvas) -> Field:
    """How much of each pixel a few bent hairs cover, 0 to 1."""
    from scipy import ndimage

    size = np.array(canvas.shape)
    twice = np.zeros(2 * size)  # drawn at double size, to be shrunk without jagged edges
    t = np.linspace(0, 1, 6 * int(size.max()))[:, None]
    for _ in range(canvas.rng.integers(3, 9)):
        start, end = size * canvas.rng.uniform(-0.1, 1.1, (2, 2))
        bend = (start + end) / 2 + canvas.rng.normal(0, 35 * canvas.scale, 2)
        path = np.rint(2 * ((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end)).astype(int)
        path = path[((path >= 0) & (path < 2 * size)).all(axis=1)]
        twice[tuple(path.T)] = 1
    cover: Field = ndimage.gaussian_filter(twice, 1.2 * canvas.scale)[::2, ::2]
    return np.clip(2.4 * cover, 0, 0.85)


def _canvas(seed: int, shape: tuple[int, ...], full: tuple[int, int]) -> _Canvas:
    if len(shape) != 2 or min(shape) < LEAST_SIDE:
        raise InputError(f"A phantom has rows and columns, each at least {LEAST_SIDE}, and {shape} was asked for.")
    rng = np.random.default_rng(_whole(seed, 0, "seed"))
    return _Canvas(rng, (shape[0], shape[1]), min(shape[0] / full[0], shape[1] / full[1]))


def _whole(value: Any, least: int, what: str) -> int:
    if isinstance(value, (int, np.integer)) and value >= least:
        return int(value)
    raise InputError(f"The {what} is {value!r}; it is a whole number from {least}. Give such a number.")


def _line(distance: Field, width: float) -> Field:
    bump: Field = np.exp(-((distance / width) ** 2))
    return bump


def _ramp(steps: Field) -> Field:
    """From 0 to 1 around 0."""
    return 0.5 + 0.5 * np.tanh(steps)


def _as_pixels(values: Field) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
